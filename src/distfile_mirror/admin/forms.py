"""The forms in which people declare. The catalog judges what is in them; here they are only taken apart."""

from django import forms

from distfile_mirror.admin.image_documents import ImageDeclarationBody
from distfile_mirror.catalog.declare import FileDeclaration

MAX_LINES = 1000


class UseForm(forms.Form):
    """What every declaration says: for which project, why, under which licence."""

    project = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"list": "projects", "required": True, "autocomplete": "off"}),
        help_text="What uses it: a product, a repository, a firmware.",
    )
    reason = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "required": True}),
        help_text="Why it is needed. Whoever finds it in five years will read this.",
    )
    licence = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
        help_text="An SPDX expression such as MIT OR Apache-2.0; empty if nobody knows.",
    )


class DeclareForm(UseForm):
    """One file or many, for one project, with one reason and licence."""

    field_order = ("uris", "project", "reason", "licence")

    uris = forms.CharField(
        label="URIs",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "required": True, "autofocus": True}),
        help_text="One a line, each with a checksum behind it if you have one: "
        "https://example.org/foo-1.2.tar.gz sha256:…",
    )
    checksums = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="For one URI: algorithm:hex or Subresource Integrity. What upstream sends must have them all.",
    )
    fallback_uris = forms.CharField(
        label="Fallback URIs",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="For one URI, one a line: where else the same bytes are. They need a checksum.",
    )

    @property
    def lines(self) -> list[str]:
        """The lines that name a URI, as they stand in the form."""
        given = self["uris"].value() or ""
        return [line.strip() for line in given.splitlines() if line.strip() and not line.lstrip().startswith("#")]

    def clean(self) -> None:
        """Refuse what belongs to one URI where there are several."""
        super().clean()
        if len(self.lines) > MAX_LINES:
            self.add_error("uris", f"{len(self.lines)} are too many at a time; at most {MAX_LINES} are possible")
        if len(self.lines) < 2:  # noqa: PLR2004
            return
        if self.cleaned_data.get("checksums"):
            self.add_error("checksums", "these are for one URI; with several, write each checksum behind its URI")
        if self.cleaned_data.get("fallback_uris"):
            self.add_error("fallback_uris", "these are for one URI; declare it by itself")

    def declarations(self) -> list[tuple[str, FileDeclaration]]:
        """Return each line with what it declares; one empty one where there is no line, to be refused."""
        given = self.cleaned_data
        found = []
        for line in self.lines or [""]:
            uri, *checksums = line.split() or [""]
            declaration = FileDeclaration(
                uri=uri,
                project=given["project"],
                reason=given["reason"],
                licence=given["licence"],
                checksums=[*checksums, *given["checksums"].split()],
                fallback_uris=given["fallback_uris"].split(),
            )
            found.append((line, declaration))
        return found


class DeclareImageForm(UseForm):
    """One image, for one project."""

    field_order = ("reference", "platforms", "with_referrers", "project", "reason", "licence")

    reference = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"spellcheck": "false", "required": True, "autofocus": True}),
        help_text="With its digest: debian:12@sha256:… Without one you are shown which digest the tag has now.",
    )
    platforms = forms.CharField(
        required=False,
        widget=forms.TextInput(attrs={"spellcheck": "false"}),
        help_text="Of an image for several: such as linux/amd64 linux/arm64, or all, or none for the index alone.",
    )
    with_referrers = forms.BooleanField(
        label="Keep signatures and the like along",
        required=False,
        help_text="What refers to the image, as cosign and BuildKit store it.",
    )

    def body(self, *, resolve: bool) -> ImageDeclarationBody:
        """Return what it says."""
        given = self.cleaned_data
        # The catalog judges it: a mistake must come back beside what was typed.
        return ImageDeclarationBody.model_construct(
            reference=given["reference"].strip(),
            registry="",
            repository="",
            digest="",
            platforms=given["platforms"].replace(",", " ").split(),
            with_referrers=given["with_referrers"],
            resolve=resolve,
            project=given["project"],
            reason=given["reason"],
            licence=given["licence"],
        )
