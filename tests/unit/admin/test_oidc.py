"""Sign-in with an OpenID provider: a real one, and a browser that follows where it is sent."""

from dataclasses import replace

import httpx
import pytest

from distfile_mirror.admin.models import User
from distfile_mirror.admin.people import set_active, set_role
from distfile_mirror.admin.settings import django_settings
from distfile_mirror.admin.sign_in import OpenIdProvider, SignIn
from distfile_mirror.catalog.models import AuditEvent
from distfile_mirror.model.roles import Role
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, running_provider
from tests.unit.admin.people import PASSWORD, person
from tests.unit.admin.running_admin import running_admin

pytestmark = pytest.mark.django_db(transaction=True)

GROUPS = {Role.DECLARER: ("developers",), Role.ADMINISTRATOR: ("operators",)}


@pytest.fixture(scope="module")
def started_provider():
    with running_provider() as provider:
        yield provider


@pytest.fixture
def admin():
    with running_admin() as address:
        yield address


@pytest.fixture
def provider(started_provider, admin, settings):
    started_provider.__init__(started_provider.issuer)
    started_provider.redirect_uris = {f"{admin}/sign-in/oidc/callback"}
    configure(settings, started_provider, role_groups=GROUPS)
    return started_provider


def configure(settings, provider, methods=("oidc",), **given):
    oidc = OpenIdProvider(provider.issuer, CLIENT_ID, CLIENT_SECRET)
    sign_in = SignIn(methods=frozenset(methods), oidc=oidc, **given)
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, sign_in=sign_in)
    made = django_settings(settings.DISTFILE_MIRROR)
    settings.SOCIALACCOUNT_PROVIDERS = made["SOCIALACCOUNT_PROVIDERS"]


@pytest.fixture
def browser(admin):
    with httpx.Client(base_url=admin, follow_redirects=True, trust_env=False) as client:
        yield client


def test_who_is_sent_to_the_provider_comes_back_to_where_they_wanted(provider, browser):
    provider.person |= {"groups": ["staff", "developers"], "email": "ann@example.org", "email_verified": True}
    page = browser.get("/files?q=x")
    assert page.url.path == "/sign-in"
    assert f"Sign in with {provider.issuer}" in page.text
    assert 'name="password"' not in page.text
    before = browser.cookies.get("sessionid")
    page = browser.get("/sign-in/oidc", params={"next": "/files?q=x"})
    assert (page.status_code, page.url.path, page.url.query) == (200, "/files", b"q=x")
    assert browser.cookies["sessionid"] != before
    user = User.objects.get()
    assert (user.name, user.role, user.source) == ("ann", "declarer", "oidc")
    assert not user.has_usable_password()
    assert browser.get("/files/declare").status_code == 200
    assert browser.get("/users").status_code == 403
    assert AuditEvent.objects.get(subject_kind="user").action == "added"


def test_the_session_is_another_after_signing_in(provider, browser):
    provider.person["groups"] = "developers"
    browser.get("/sign-in/oidc", follow_redirects=False)
    before = browser.cookies["sessionid"]
    assert browser.get("/sign-in/oidc").status_code == 200
    assert browser.cookies["sessionid"] != before


def test_the_role_follows_the_groups_at_each_sign_in(provider, browser):
    for groups, role in (
        (["developers"], "declarer"),
        (["operators", "x"], "administrator"),
        ("developers", "declarer"),
    ):
        provider.person["groups"] = groups
        assert browser.get("/sign-in/oidc").status_code == 200
        assert User.objects.get().role == role
        browser.cookies.clear()


def test_groups_may_stand_in_either_place(provider, browser):
    provider.userinfo = {"groups": ["operators"]}
    assert browser.get("/sign-in/oidc").status_code == 200
    assert User.objects.get().role == "administrator"


def test_who_has_no_group_is_told_so(provider, browser):
    page = browser.get("/sign-in/oidc")
    assert page.status_code == 403
    assert "role_groups" in page.text
    assert not User.objects.exists()
    assert browser.get("/files").url.path == "/sign-in"


def test_a_default_role_lets_them_in_and_administrators_may_give_another(provider, browser, settings):
    configure(settings, provider, default_role=Role.VIEWER)
    assert browser.get("/sign-in/oidc").status_code == 200
    set_role(User.objects.get().pk, "approver", actor="root")
    browser.cookies.clear()
    browser.get("/sign-in/oidc")
    assert User.objects.get().role == "approver"


def test_who_is_disabled_stays_out(provider, browser):
    provider.person["groups"] = ["developers"]
    browser.get("/sign-in/oidc")
    set_active(User.objects.get().pk, is_active=False, actor="root")
    assert browser.get("/files").url.path == "/sign-in"
    page = browser.get("/sign-in/oidc")
    assert page.status_code == 403
    assert "is disabled" in page.text


def test_a_name_that_is_taken_is_not_taken_over(provider, browser, settings):
    configure(settings, provider, ("oidc", "accounts"), role_groups=GROUPS)
    person("ann", "administrator")
    provider.person |= {"groups": ["developers"], "preferred_username": "ann"}
    assert browser.get("/sign-in/oidc").status_code == 200
    assert sorted(User.objects.values_list("name", "role")) == [("ann", "administrator"), ("ann2", "declarer")]
    browser.get("/sign-in/oidc")
    assert User.objects.count() == 2, "the second time it is the same"


def test_who_is_signed_in_otherwise_does_not_join_two_accounts(provider, browser, settings):
    configure(settings, provider, ("oidc", "accounts"), role_groups=GROUPS)
    person("bob", "administrator")
    browser.get("/sign-in")
    form = {"name": "bob", "password": PASSWORD, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
    assert browser.post("/sign-in", data=form).status_code == 200
    provider.person["groups"] = ["developers"]
    for process in ("connect", "redirect"):
        assert browser.get("/sign-in/oidc", params={"process": process}).status_code == 403
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "claims", [{"preferred_username": "<b>A & B</b>"}, {"preferred_username": None}, {"sub": "1 2"}]
)
def test_odd_names_become_names(provider, browser, claims):
    provider.person = {"sub": "17", "groups": ["developers"], **claims}
    assert browser.get("/sign-in/oidc").status_code == 200
    assert User.objects.get().name in {"b-a-b-b", "17", "1-2"}


@pytest.mark.parametrize("changed", [{"aud": "another"}, {"iss": "https://evil.test"}, {"exp": 1}])
def test_a_token_for_others_is_refused(provider, browser, changed):
    provider.person["groups"] = ["operators"]
    provider.changed_claims = changed
    page = browser.get("/sign-in/oidc")
    assert page.status_code == 403
    assert "Traceback" not in page.text
    assert not User.objects.exists()


def test_two_people_in_one_answer_are_refused(provider, browser):
    provider.person["groups"] = ["developers"]
    provider.userinfo = {"sub": "18", "groups": ["operators"]}
    assert browser.get("/sign-in/oidc").status_code == 403
    assert not User.objects.exists()


@pytest.mark.parametrize("error", ["access_denied", "server_error"])
def test_a_refusal_of_the_provider_is_told(provider, browser, error):
    provider.error = error
    page = browser.get("/sign-in/oidc")
    assert page.status_code == 403
    assert "begin it anew" in page.text


def test_a_provider_that_is_away_is_told(provider, browser):
    provider.is_broken = True
    page = browser.get("/sign-in/oidc")
    assert page.status_code == 502
    assert "does not answer" in page.text


def test_an_answer_to_a_sign_in_of_somebody_else_is_refused(provider, browser, admin):
    provider.person["groups"] = ["operators"]
    with httpx.Client(base_url=admin, trust_env=False) as attacker:
        there = attacker.get("/sign-in/oidc").headers["Location"]
        back = httpx.get(there, trust_env=False).headers["Location"]
    assert browser.get(back).status_code == 403
    assert browser.get("/files").url.path == "/sign-in"


@pytest.mark.parametrize("elsewhere", ["https://evil.test/", "//evil.test/", "/\\evil.test"])
def test_nobody_is_led_elsewhere(provider, browser, elsewhere):
    provider.person["groups"] = ["developers"]
    page = browser.get("/sign-in/oidc", params={"next": elsewhere})
    assert page.url.host == "127.0.0.1"
    assert page.status_code == 200


def test_without_it_configured_there_is_nothing(browser, settings):
    settings.DISTFILE_MIRROR = replace(settings.DISTFILE_MIRROR, sign_in=SignIn(methods=frozenset({"accounts"})))
    assert browser.get("/sign-in/oidc").status_code == 404
    assert browser.get("/sign-in/oidc/callback").status_code == 404
