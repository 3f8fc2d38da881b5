"""Every setting, typed, with its unit: from flags, then ``DISTFILE_MIRROR_*``, then a TOML file, then the default.

A wrong configuration is refused whole, with one message that lists every mistake.
"""

import getpass
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from distfile_mirror.blobs.locations import FILE, BlobsLocation, parse_blobs_url, parse_endpoint
from distfile_mirror.blobs.secret_files import read_secret
from distfile_mirror.catalog.database_urls import database_settings
from distfile_mirror.errors import MirrorError
from distfile_mirror.model.addresses import ListenAddress
from distfile_mirror.model.roles import Role
from distfile_mirror.setting_values import (
    NO_SIGN_IN,
    Bytes,
    ConnectTos,
    Count,
    HeaderName,
    Hosts,
    Listen,
    Networks,
    OptionalListen,
    Platforms,
    Registries,
    RoleGroups,
    Seconds,
    SignIn,
)
from distfile_mirror.upstream.registry_credentials import read_credentials

ENVIRONMENT_PREFIX = "DISTFILE_MIRROR_"
MAX_WORKERS_BY_DEFAULT = 4
OIDC_SETTINGS = ("oidc_issuer", "oidc_client_id", "oidc_client_secret")


class ConfigurationError(MirrorError):
    """The configuration is wrong."""


def _cores() -> int:
    return len(os.sched_getaffinity(0))


class Config(BaseSettings):
    """All settings of all components."""

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(Path("data"), description="The folder for database, blobs and CA unless they are elsewhere.")
    database_url: str = Field(
        "",
        description="sqlite:///PATH, postgresql://USER:PASSWORD@HOST/NAME or cockroachdb://…; "
        "by default DATA/catalog.sqlite3.",
    )
    ca_dir: Path | None = Field(None, description="The folder of the CA's certificate and key; by default DATA/ca.")
    blobs_url: str = Field(
        "",
        description="file:///PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; "
        "by default DATA/blobs. Credentials never stand in it.",
    )
    s3_endpoint: str = Field(
        "", description="Address of a server that speaks S3; by default AWS_ENDPOINT_URL, or else Amazon's."
    )
    s3_region: str = Field("", description="Region of the bucket; by default AWS_REGION, or else us-east-1.")
    s3_path_style: bool = Field(
        True, description="Whether the bucket is part of the path; otherwise it is the first part of the host name."
    )
    s3_access_key_id_file: Path | None = Field(
        None, description="File with the access key's id; by default the environment: AWS_ACCESS_KEY_ID and its kin."
    )
    s3_secret_access_key_file: Path | None = Field(None, description="File with its secret.")
    s3_ca: Path | None = Field(None, description="PEM file of CAs that the server may have beside the usual ones.")
    cache_bytes: Bytes = Field(
        20 << 30, description="Bytes of an object store's blobs that the proxies of a machine keep in DATA/cache."
    )
    log_format: str = Field("auto", pattern="^(auto|console|json)$", description="console, json, or auto: by terminal.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="The least that is logged.")
    ca_passphrase: SecretStr | None = Field(
        None, description="Encrypts the CA key when it is made or adopted, and decrypts it."
    )
    stop_grace: Seconds = Field(10, description="Seconds that work under way gets to finish when stopping.")

    proxy_listen: Listen = Field(ListenAddress("127.0.0.1", 3128), description="Where builds come: HOST:PORT.")
    proxy_url: str = Field("", description="The proxy's own address as clients write it; by default from proxy_listen.")
    workers: Count = Field(
        default_factory=lambda: min(_cores(), MAX_WORKERS_BY_DEFAULT), description="Proxy worker processes."
    )
    proxy_header_bytes: Bytes = Field(32_768, description="The longest request head, in bytes.")
    proxy_header_timeout: Seconds = Field(20, description="Seconds for a whole request head to arrive.")
    proxy_handshake_timeout: Seconds = Field(20, description="Seconds for a TLS handshake.")
    proxy_idle_timeout: Seconds = Field(300, description="Seconds that a connection may wait for its next request.")
    proxy_stalled_writer_timeout: Seconds = Field(120, description="Seconds that a client may take no byte at all.")
    proxy_max_connections: Count = Field(10_000, description="Connections to one worker.")
    proxy_max_connections_per_client: Count = Field(4_096, description="Connections of one address to one worker.")
    proxy_cached_lookups: Count = Field(100_000, description="Files whose place a worker remembers.")
    proxy_noted_lookups: Count = Field(
        1_000_000, description="Files whose place a proxy notes on disk, for when the database is away."
    )
    proxy_cached_bytes: Bytes = Field(64 << 20, description="Bytes of small files that a worker keeps in memory.")
    proxy_password: SecretStr | None = Field(
        None, description="Switches proxy authentication on: what clients show, with any label as the user name."
    )
    proxy_cached_certificates: Count = Field(2_000, description="Hosts whose certificate a worker keeps.")

    oidc_issuer: str = Field("", description="Address of the OpenID provider; it is asked for its configuration.")
    oidc_client_id: str = Field("", description="This server's client id there.")
    oidc_client_secret: SecretStr | None = Field(None, description="This server's client secret there.")
    oidc_groups_claim: str = Field("groups", description="The claim that lists a person's groups.")
    auth_header: HeaderName = Field("X-Forwarded-User", description="In which a reverse proxy says who asks.")
    auth_groups_header: HeaderName = Field(
        "X-Forwarded-Groups", description="In which it lists their groups, separated by commas."
    )
    auth_header_from: Networks = Field(
        (), description="Networks of the reverse proxies that are believed so; nobody else is."
    )
    role_groups: RoleGroups = Field(
        {},
        description="Table of role (viewer, declarer, approver, administrator) and the groups that have it; "
        "JSON in the environment. With it, roles follow the groups; without, administrators give them.",
    )
    default_role: Role | None = Field(
        None, description="For who comes by oidc or header and has no group of role_groups; by default refused."
    )
    sign_in: SignIn = Field(
        (NO_SIGN_IN,), description="How people sign in: none; or one or several of accounts, oidc, header."
    )
    require_approval: bool = Field(
        False, description="Whether what a declarer declares waits until an approver accepts it."
    )
    session_lifetime: Seconds = Field(12 * 3600, description="Seconds after which people sign in again.")
    trusted_proxies: Networks = Field(
        (), description="Networks of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    metrics_token: SecretStr | None = Field(
        None, description="Bearer token with which /metrics of the admin is read without a role."
    )

    admin_listen: Listen = Field(ListenAddress("127.0.0.1", 8080), description="Where people come: HOST:PORT.")
    metrics_listen: OptionalListen = Field(
        None,
        description="HOST:PORT where a downloader or verify tells its metrics; by default the admin of the same data "
        "folder tells them.",
    )
    admin_url: str = Field("", description="The admin's own address as people write it; by default from admin_listen.")
    secret_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs cookies: 32 random characters or more, the same for all copies of the admin; "
        "by default made in DATA/secret-key.",
    )
    admin_hosts: Hosts = Field(
        (),
        description="Further names or addresses under which the admin is asked, such as a pod's own by who watches it.",
    )
    admin_threads: Count = Field(8, description="Requests that the admin answers at a time.")
    local_user: str = Field(default_factory=getpass.getuser, description="Who acts where no sign-in is configured.")

    allow_network: Networks = Field(
        (), description="Networks that downloads may reach although they are private or otherwise special."
    )
    connect_to: ConnectTos = Field(
        (), description="HOST:PORT:ADDR:PORT: connect to ADDR:PORT for HOST:PORT, as curl does."
    )
    upstream_ca: Path | None = Field(None, description="PEM file of CAs that upstreams may have beside the usual ones.")
    download_concurrency: Count = Field(32, description="Downloads at a time in one downloader.")
    download_concurrency_per_host: Count = Field(8, description="Downloads at a time from one host.")
    download_connect_timeout: Seconds = Field(30, description="Seconds to connect, TLS included.")
    download_stall_timeout: Seconds = Field(60, description="Seconds in which at least download_stall_bytes must come.")
    download_stall_bytes: Bytes = Field(4_096, description="See download_stall_timeout.")
    download_total_timeout: Seconds = Field(6 * 3600, description="Seconds for one file.")
    download_max_bytes: Bytes = Field(64 << 30, description="The largest file that is accepted.")
    download_max_attempts: Count = Field(12, description="Attempts before a passing fault is held for a lasting one.")
    download_backoff: Seconds = Field(2, description="Seconds before the second attempt; doubled each time.")
    download_max_backoff: Seconds = Field(3600, description="The most seconds between two attempts.")
    download_concurrency_per_image: Count = Field(4, description="Layers of one image at a time.")
    download_lease: Seconds = Field(30, description="Seconds after which a downloader that went silent loses a file.")
    download_poll: Seconds = Field(0.5, description="Seconds between looks for new declarations.")

    upstream_check_seconds: Annotated[float, Field(ge=0)] = Field(
        3, description="Seconds between two questions after stored files to upstreams (HEAD); 0: none is asked."
    )
    upstream_check_period: Seconds = Field(
        7 * 86400, description="Seconds after which every upstream is asked again, if there is time for it."
    )
    verify_rate: Annotated[int, Field(ge=0)] = Field(
        20 << 20, description="Bytes of stored blobs that are read again and compared each second; 0: serve reads none."
    )
    verify_period: Seconds = Field(30 * 86400, description="Seconds after which reading everything begins anew.")

    default_platforms: Platforms = Field(
        ("linux/amd64",),
        description="What is mirrored of an index if a declaration names no platform; or all; or none.",
    )
    plain_http_registries: Registries = Field(
        (), description="Registries that are asked without TLS, such as registry.example.org:5000."
    )
    registry_credentials_file: Path | None = Field(
        None, description="JSON file with credentials for registries, as Docker's config.json has them; mode 600."
    )

    @field_validator("database_url")
    @classmethod
    def _names_database(cls, value: str) -> str:
        if value:
            database_settings(value)
        return value

    @field_validator("blobs_url")
    @classmethod
    def _is_place(cls, value: str) -> str:
        return str(parse_blobs_url(value)) if value else ""

    @field_validator("s3_endpoint")
    @classmethod
    def _is_endpoint(cls, value: str) -> str:
        return parse_endpoint(value) if value else ""

    @field_validator("s3_access_key_id_file", "s3_secret_access_key_file")
    @classmethod
    def _holds_secret(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None:
            read_secret(value)
        other = "s3_access_key_id_file"
        if info.field_name != other and other in info.data and (value is None) != (info.data[other] is None):
            message = f"{other} and s3_secret_access_key_file go together"
            raise ValueError(message)
        return value

    @field_validator("registry_credentials_file")
    @classmethod
    def _holds_credentials(cls, value: Path | None) -> Path | None:
        if value is not None:
            read_credentials(value)
        return value

    @field_validator("upstream_ca", "s3_ca")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            message = f"{value} is not a file that can be read"
            raise ValueError(message)
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if value and not value.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            message = f"{value} is not the address of a provider; it begins with https://"
            raise ValueError(message)
        return value.rstrip("/")

    @field_validator("sign_in")
    @classmethod
    def _complete(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        needed = {"oidc": OIDC_SETTINGS, "header": ("auth_header_from",)}
        for method in value:
            # What is there and wrong is told by itself.
            missing = [name for name in needed.get(method, ()) if name in info.data and not info.data[name]]
            if missing:
                message = f"{method} needs {' and '.join(missing)} too"
                raise ValueError(message)
        return value

    @field_validator("admin_listen")
    @classmethod
    def _guarded(cls, value: ListenAddress, info: ValidationInfo) -> ListenAddress:
        if not value.is_loopback and info.data.get("sign_in") == (NO_SIGN_IN,):
            message = (
                f"{value} can be reached by others, and no sign-in is configured: set sign_in to accounts, oidc or "
                "header, or bind it to 127.0.0.1 or [::1]"
            )
            raise ValueError(message)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags come in as arguments, over the environment; the file is merged in by load_config."""
        return init_settings, env_settings

    @property
    def effective_database_url(self) -> str:
        """The database's URL, the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'catalog.sqlite3'}"

    @property
    def blobs_location(self) -> BlobsLocation:
        """Where the blobs are, the default filled in."""
        if self.blobs_url:
            return parse_blobs_url(self.blobs_url)
        return BlobsLocation(FILE, "", str(self.data_dir / "blobs"))

    @property
    def effective_ca_dir(self) -> Path:
        """The folder of the CA's certificate and key."""
        return self.ca_dir or self.data_dir / "ca"

    @property
    def run_dir(self) -> Path:
        """The folder of what living processes share: locks, counters."""
        return self.data_dir / "run"

    @property
    def effective_admin_url(self) -> str:
        """The admin's address for people, without a slash at its end."""
        return (self.admin_url or f"http://{self.admin_listen.for_clients}").rstrip("/")

    @property
    def effective_proxy_url(self) -> str:
        """The proxy's address for clients, without a slash at its end."""
        return (self.proxy_url or f"http://{self.proxy_listen.for_clients}").rstrip("/")


def load_config(flags: dict[str, Any] | None = None, file: Path | None = None) -> Config:
    """Read the configuration: ``flags`` (None means not given) over environment over ``file``.

    Raises:
        ConfigurationError: listing every mistake.
    """
    given = {name: value for name, value in (flags or {}).items() if value not in (None, [], ())}
    from_file = _read_toml(file) if file else {}
    # What the environment says wins over the file, so it must not be passed as an argument.
    from_file = {name: value for name, value in from_file.items() if not _in_environment(name)}
    try:
        return Config(**{**from_file, **given})
    except ValidationError as error:
        raise ConfigurationError(_every_mistake(error, file)) from None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"the configuration file {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the configuration file {file} is not TOML: {error}") from None


def _in_environment(name: str) -> bool:
    return bool(os.environ.get(ENVIRONMENT_PREFIX + name.upper()))


def _every_mistake(error: ValidationError, file: Path | None) -> str:
    lines = ["the configuration is wrong:"]
    for mistake in error.errors(include_url=False):
        name = str(mistake["loc"][0]) if mistake["loc"] else ""
        if mistake["type"] == "extra_forbidden":
            text = f"there is no such setting (in {file})" if file else "there is no such setting"
        else:
            text = mistake["msg"].removeprefix("Value error, ")
        lines.append(f"  {name + ': ' if name else ''}{text}")
    return "\n".join(lines)
