"""All settings, read once from the environment and `.env` into one frozen object."""

import contextlib
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Mapping
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from dotenv import dotenv_values
from msgspec import Meta
from tzlocal import get_localzone_name

from slotwise.domain.clinics import FIRST_CLINIC, Clinic
from slotwise.domain.name_order import NameOrder, UnknownLanguage, name_order
from slotwise.domain.time_zones import find_zone
from slotwise.domain.url_hosts import HIGHEST_PORT, is_host

MIN_SECRET_BYTES = 32
PLACEHOLDER_SECRETS = frozenset(
    {
        "your-secret-key",
        "your_jwt_secret",
        "your-super-secret-jwt-key-change-this-in-production",
        "your-super-secret-jwt-key-change-in-production",
        "change-me-to-at-least-32-random-bytes",
        "changeme",
        "secret",
    }
)

MIN_DISTINCT = 10
_GUESSABLE = re.compile(r"change.?me|your.?(jwt|256|super|secret)|placeholder|^<|openssl rand")

# With a port as browsers write it.
_ORIGIN = re.compile(
    r"https?://(?P<host>([a-z0-9]([a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[1-9][0-9]{0,4})?)", re.ASCII | re.IGNORECASE
)

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)

# The values of a switch, in any case.
SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}

LONGEST_LOCATION = 200
Port = Annotated[int, Meta(ge=1, le=HIGHEST_PORT)]


class InvalidSettings(Exception):
    """A setting is missing or invalid. The message names the variable and says what to do."""


def _local_zone_name() -> str:
    """The machine's time zone; UTC if it has no valid name, as in a bare container."""
    try:
        name = get_localzone_name() or "UTC"
    except (ZoneInfoNotFoundError, ValueError):
        # The machine's configuration files name different zones.
        return "UTC"
    return "UTC" if find_zone(name) is None else name


class Settings(msgspec.Struct, frozen=True, rename="upper", kw_only=True):
    """One field per environment variable of the same name in capitals.

    Durations are whole seconds unless the name says otherwise. An empty variable counts as unset.
    """

    app_env: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: Port = 3000
    workers: Annotated[int, Meta(ge=1, le=256)] = msgspec.field(default_factory=lambda: os.cpu_count() or 1)
    database_url: str | None = None
    slotwise_data_dir: str = "data"
    slotwise_postgres_bin: str | None = None
    jwt_secret: str | None = None
    token_seconds: Annotated[int, Meta(ge=60, le=30 * 86400)] = 12 * 3600
    admin_email: str | None = None
    admin_password: str | None = None
    hold_seconds: Annotated[int, Meta(ge=1, le=86400)] = 120
    sweep_seconds: Annotated[float, Meta(gt=0, le=3600)] = 1.0
    rate_limit_bookings: str | None = None
    seat_streams: Annotated[int, Meta(ge=0, le=50_000)] = 1000
    seat_streams_per_client: Annotated[int, Meta(ge=0, le=50_000)] = 20
    seed_demo: bool | None = None
    batch_limit: Annotated[int, Meta(ge=1, le=1024)] = 256
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trusted_proxies: str = ""
    cors_origins: str = ""
    db_pool_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    prometheus_multiproc_dir: str | None = None
    drain_seconds: Annotated[float, Meta(ge=0, le=60)] = 2.0
    database_wait_seconds: Annotated[int, Meta(ge=0, le=3600)] = 30
    publish_days: Annotated[int, Meta(ge=1, le=731)] = 90
    evening_list_dir: str | None = None
    evening_list_time: str = "18:00"
    evening_list_keep_days: Annotated[int, Meta(ge=0, le=365)] = 7
    clinic_name: Annotated[str, Meta(max_length=60)] = "Slotwise"
    clinic_language: str = "en"
    clinic_location: str | None = None
    clinic_time_zone: str = msgspec.field(default_factory=_local_zone_name)
    public_url: str | None = None
    crash_points: str | None = None

    @property
    def production(self) -> bool:
        return self.app_env == "production"

    @property
    def data_dir(self) -> Path:
        return Path(self.slotwise_data_dir).expanduser().absolute()

    @property
    def postgres_bin(self) -> Path | None:
        """The bin directory to run the embedded server from; None for the PostgreSQL that comes with Slotwise."""
        return Path(self.slotwise_postgres_bin) if self.slotwise_postgres_bin else None

    @property
    def time_zone(self) -> ZoneInfo:
        """The clinic's time zone: its days begin in it, and its pages show times in it."""
        return ZoneInfo(self.clinic_time_zone)

    @property
    def evening_list_path(self) -> Path | None:
        """Where tomorrow's lists are written each evening, if they are."""
        return Path(self.evening_list_dir).expanduser().absolute() if self.evening_list_dir else None

    @property
    def evening(self) -> time:
        """When, by the clock of each clinic."""
        return time.fromisoformat(self.evening_list_time)

    @property
    def first_clinic(self) -> Clinic:
        """The clinic that an installation begins with."""
        return Clinic(FIRST_CLINIC, self.clinic_name, self.clinic_time_zone, self.clinic_location)

    @property
    def name_order(self) -> NameOrder:
        """How names are sorted in lists: as people who speak the clinic's language sort them."""
        return name_order(self.clinic_language)

    @property
    def public_origin(self) -> str | None:
        """`PUBLIC_URL` as browsers write it (RFC 6454, 6.2): in lower case, without the scheme's default port."""
        if self.public_url is None:
            return None
        origin = self.public_url.lower()
        return origin.removesuffix(":443" if origin.startswith("https:") else ":80")

    @property
    def metrics_dir(self) -> Path | None:
        """The directory that all workers write their metrics to; `slotwise serve` sets it for its workers."""
        return Path(self.prometheus_multiproc_dir) if self.prometheus_multiproc_dir else None

    @property
    def crash_points_dir(self) -> Path | None:
        """The folder in which tests arm crash points; see observability/crash_points.py."""
        return Path(self.crash_points) if self.crash_points else None

    @property
    def embedded(self) -> bool:
        """Whether Slotwise runs its own PostgreSQL: true if `DATABASE_URL` is not set."""
        return self.database_url is None

    @property
    def booking_rate(self) -> str | None:
        """The rate limit of bookings per client IP and worker, or None if it is off."""
        default = "60/minute" if self.production else "off"
        rate = self.rate_limit_bookings or default
        return None if SWITCH.get(rate.lower()) is False else rate

    @property
    def seeds_demo(self) -> bool:
        return not self.production if self.seed_demo is None else self.seed_demo


def load_settings(environ: Mapping[str, str] | None = None, env_file: Path = Path(".env")) -> Settings:
    """Read `env_file` and the environment, which overrides it.

    Raises `InvalidSettings`, which names the first invalid variable.
    """
    given = {**_given(dotenv_values(env_file)), **_given(os.environ if environ is None else environ)}
    settings = Settings(**{name.lower(): _read(name, given[name]) for name in _VARIABLES if name in given})
    _check(settings)
    return settings


def _read(name: str, text: str) -> Any:
    """The value of one variable; words may be in any case. Raises `InvalidSettings`, which says what is accepted."""
    kind = _VARIABLES[name].type
    try:
        if bool in get_args(kind):
            return SWITCH[text.lower()]
        return msgspec.convert(text.lower() if _words_of(kind) else text, kind, strict=False)
    except (KeyError, msgspec.ValidationError) as error:
        raise InvalidSettings(f"{name}: {text!r} is not accepted; it takes {_accepted(kind)}") from error


def _words_of(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _accepted(kind: Any) -> str:
    """Which values a variable of this type accepts, in words."""
    if bool in get_args(kind):
        return "on or off (also true or false, yes or no, 1 or 0)"
    if words := _words_of(kind):
        return f"{', '.join(words[:-1])} or {words[-1]}"
    base, *limits = get_args(kind)
    limit: Meta = limits[0]
    if base is str:
        return f"at most {limit.max_length} characters"
    number = "a whole number" if base is int else "a number"
    low = f"from {limit.ge}" if limit.ge is not None else f"more than {limit.gt}"
    return f"{number} {low} {'to' if limit.ge is not None else 'and up to'} {limit.le}"


def _given(source: Mapping[str, str | None]) -> dict[str, str]:
    """The variables that one source sets. `POSTGRESQL_URI` counts as `DATABASE_URL`."""
    given = {name: value.strip() for name, value in source.items() if value and value.strip()}
    if "POSTGRESQL_URI" in given:
        given.setdefault("DATABASE_URL", given["POSTGRESQL_URI"])
    return given


_VARIABLES = {field.encode_name: field for field in msgspec.structs.fields(Settings)}


def _check(settings: Settings) -> None:
    if settings.production:
        _check_production_secret(settings.jwt_secret)
        if settings.crash_points is not None:
            raise InvalidSettings("CRASH_POINTS: is only for tests and kills the server; unset it in production")
    _check_rate(settings.booking_rate)
    _check_proxies(settings.trusted_proxies)
    _check_origins(settings.cors_origins)
    _check_evening(settings.evening_list_time)
    _check_time_zone(settings.clinic_time_zone)
    _check_language(settings.clinic_language)
    _check_location(settings.clinic_location or "")
    _check_public_url(settings.public_url)
    if bool(settings.admin_email) != bool(settings.admin_password):
        raise InvalidSettings("ADMIN_EMAIL and ADMIN_PASSWORD: set both or neither")


def _check_rate(rate: str | None) -> None:
    """Import the library only if a rate is set: every worker reads the settings at start, and the import is slow."""
    if rate is None:
        return
    import limits  # noqa: PLC0415 - see above

    try:
        amount = limits.parse(rate).amount
    except ValueError:
        amount = 0
    if amount < 1:
        raise InvalidSettings(
            f"RATE_LIMIT_BOOKINGS: {rate!r} must be a rate such as 60/minute or 10/second, or off (also false, no or 0)"
        )


def _check_evening(clock: str) -> None:
    if not _CLOCK.fullmatch(clock):
        raise InvalidSettings(f"EVENING_LIST_TIME: {clock!r} must be a time of the day such as 18:00")


def _check_proxies(proxies: str) -> None:
    for proxy in filter(None, (item.strip() for item in proxies.split(","))):
        try:
            ipaddress.ip_network(proxy)
        except ValueError as error:
            raise InvalidSettings(
                f"TRUSTED_PROXIES: {proxy!r} must be an IP or a network such as 10.0.0.1 or 10.0.0.0/8"
            ) from error


def _check_origins(origins: str) -> None:
    for origin in filter(None, (item.strip() for item in origins.split(","))):
        if not re.fullmatch(r"https?://[^/\s]+", origin):
            raise InvalidSettings(f"CORS_ORIGINS: {_shown(origin)} must be an origin such as https://clinic.example")


def _check_public_url(url: str | None) -> None:
    """Accept only a port as browsers write it: if no `Origin` header equals the URL, every form would be refused."""
    if url is None:
        return
    origin = _ORIGIN.fullmatch(url)
    if origin is None or not is_host(origin["host"].encode()):
        raise InvalidSettings(
            f"PUBLIC_URL: {_shown(url)} must be a scheme and a host, with a port if needed, without a user name or a"
            " path, such as https://clinic.example"
        )


def _shown(url: str) -> str:
    """The URL as it was set, with user name and password hidden, because the error message is logged."""
    _, at, rest = url.rpartition("@")
    return repr(f"***@{rest}" if at else rest)


def _check_language(tag: str) -> None:
    try:
        name_order(tag)
    except UnknownLanguage as error:
        raise InvalidSettings(
            f"CLINIC_LANGUAGE: {tag!r} is no language that names can be sorted in. Use a tag (BCP 47) such as en,"
            " de-AT, or de-u-co-phonebk for the order of a German telephone book"
        ) from error


def _check_location(location: str) -> None:
    if len(location) > LONGEST_LOCATION:
        raise InvalidSettings(f"CLINIC_LOCATION: has {len(location)} characters; it takes at most {LONGEST_LOCATION}")


def _check_time_zone(name: str) -> None:
    if find_zone(name) is None:
        raise InvalidSettings(
            f"CLINIC_TIME_ZONE: {name!r} must be a name in the time zone database, such as Europe/Berlin"
        )


def _check_production_secret(secret: str | None) -> None:
    remedy = "set it to at least 32 random bytes, for example the output of: openssl rand -base64 48"
    if secret is None:
        raise InvalidSettings(f"JWT_SECRET: required when APP_ENV=production; {remedy}")
    if secret.lower() in PLACEHOLDER_SECRETS or _GUESSABLE.search(secret.lower()) or len(set(secret)) < MIN_DISTINCT:
        raise InvalidSettings(f"JWT_SECRET: is a placeholder or easy to guess; {remedy}")
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise InvalidSettings(f"JWT_SECRET: has {len(secret.encode())} bytes but needs {MIN_SECRET_BYTES}; {remedy}")


def signing_secret(settings: Settings) -> str:
    """`JWT_SECRET`; in development, if unset, a secret made at the first start and kept in the data directory."""
    if settings.jwt_secret is not None:
        return settings.jwt_secret
    path = settings.data_dir / "jwt_secret"
    if not path.exists():
        _keep_new_secret(path)
    secret = path.read_text().strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise InvalidSettings(f"{path} is damaged. Remove it to get a new secret, which logs everybody out")
    return secret


def _keep_new_secret(path: Path) -> None:
    """Write the file completely, then give it its name. If several processes start at once, the first one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
        file.flush()
        os.fsync(descriptor)
    with contextlib.suppress(FileExistsError):
        os.link(unfinished, path)
    os.unlink(unfinished)  # noqa: PTH108 - beside os.link
