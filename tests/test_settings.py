"""Settings: read once, checked at once; every refusal names its variable."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from slotwise.settings import PLACEHOLDER_SECRETS, InvalidSettings, Settings, load_settings, signing_secret

NO_FILE = Path("/nonexistent/.env")
SECRET = "0123456789abcdef0123456789abcdef"


def load(**environment: str) -> object:
    return load_settings(environment, NO_FILE)


def test_without_any_variable_there_are_sensible_defaults() -> None:
    settings = load_settings({}, NO_FILE)
    assert (settings.port, settings.host, settings.hold_seconds, settings.sweep_seconds) == (3000, "127.0.0.1", 120, 1)
    assert settings.embedded
    assert settings.seeds_demo
    assert settings.booking_rate is None
    assert settings.workers >= 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("PORT", ["0", "65536", "-1", "http", "3000.5", "3000 3001"]),
        ("WORKERS", ["0", "-1", "many", "257"]),
        ("HOLD_SECONDS", ["0", "-1", "1.5", "two minutes", "86401"]),
        ("SWEEP_SECONDS", ["0", "-1", "often", "3601", "nan", "inf"]),
        ("APP_ENV", ["staging", "prod"]),
        ("LOG_LEVEL", ["loud", "trace"]),
        ("SEED_DEMO", ["maybe", "2", "onn", "-1", "ja"]),
        ("DRAIN_SECONDS", ["-1", "60.5", "nan", "soon"]),
        ("TOKEN_SECONDS", ["1", "never"]),
        ("DB_POOL_SIZE", ["0", "x"]),
        ("DATABASE_WAIT_SECONDS", ["-1", "x"]),
        ("CLINIC_LANGUAGE", ["English", "xx", "root", "\u00e4", "de_DE.UTF-8", "en-", "de-u-co-nonsense"]),
        ("CLINIC_TIME_ZONE", ["Mars/Olympus", "localtime", "Factory", "Europe", "/etc/passwd"]),
        ("RATE_LIMIT_BOOKINGS", ["lots", "3", "3/fortnight", "-1/minute"]),
        ("SEAT_STREAMS", ["-1", "many", "50001"]),
        ("SEAT_STREAMS_PER_CLIENT", ["-1", "1.5", "50001"]),
        ("EVENING_LIST_TIME", ["6pm", "24:00", "18:60", "18", "18:00:00"]),
        ("EVENING_LIST_KEEP_DAYS", ["-1", "366", "a week"]),
        ("ADMIN_EMAIL", ["admin@example.org"]),
        ("ADMIN_PASSWORD", ["without an address"]),
    ],
)
def test_a_refusal_of_a_bad_value_names_its_variable(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(InvalidSettings, match=name):
            load(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("PORT", "http", "a whole number from 1 to 65535"),
        ("SWEEP_SECONDS", "often", "a number more than 0 and up to 3600"),
        ("APP_ENV", "staging", "development or production"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("SEED_DEMO", "2", "on or off (also true or false, yes or no, 1 or 0)"),
        ("CLINIC_NAME", "x" * 61, "at most 60 characters"),
        ("CLINIC_LOCATION", "x" * 201, "at most 200"),
        ("RATE_LIMIT_BOOKINGS", "lots", "60/minute"),
        ("TRUSTED_PROXIES", "everywhere", "10.0.0.0/8"),
        ("CORS_ORIGINS", "everywhere", "https://clinic.example"),
        ("PUBLIC_URL", "everywhere", "https://clinic.example"),
        ("CLINIC_LANGUAGE", "Elvish", "de-u-co-phonebk"),
        ("CLINIC_TIME_ZONE", "Mars/Olympus", "Europe/Berlin"),
        ("EVENING_LIST_TIME", "soon", "18:00"),
    ],
)
def test_a_refusal_says_what_is_accepted(name: str, value: str, accepted: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        load(**{name: value})
    assert str(refused.value).startswith(f"{name}: ")
    assert accepted in str(refused.value)


@pytest.mark.parametrize("field", msgspec.structs.fields(Settings), ids=lambda field: field.encode_name)
def test_every_variable_that_can_be_refused_by_its_type_says_what_is_accepted(field: msgspec.structs.FieldInfo) -> None:
    if field.type in {str, str | None}:
        return  # any text is one: its rule, where there is one, is checked by name
    with pytest.raises(InvalidSettings, match=rf"^{field.encode_name}: .* is not accepted; it takes \w+"):
        load(**{field.encode_name: "☃" * 100})


@pytest.mark.parametrize("on", ["on", "true", "yes", "1", "ON", "True", " yes "])
@pytest.mark.parametrize("off", ["off", "false", "no", "0", "OFF", "False", " no "])
def test_switches_take_the_words_that_people_use(on: str, off: str) -> None:
    assert load_settings({"SEED_DEMO": on}, NO_FILE).seeds_demo is True
    assert load_settings({"SEED_DEMO": off}, NO_FILE).seeds_demo is False
    assert load_settings({"RATE_LIMIT_BOOKINGS": off}, NO_FILE).booking_rate is None


@pytest.mark.parametrize("name", ["PORT", "WORKERS", "HOLD_SECONDS", "APP_ENV", "DATABASE_URL", "RATE_LIMIT_BOOKINGS"])
@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_variable_counts_as_unset(name: str, empty: str) -> None:
    assert load(**{name: empty}) == load()


def test_words_may_be_in_any_case_and_spaces_around_do_not_count() -> None:
    settings = load_settings(
        {"APP_ENV": " Development ", "LOG_LEVEL": "WARNING", "SEED_DEMO": "OFF", "PORT": " 80 "}, NO_FILE
    )
    assert (settings.app_env, settings.log_level, settings.seeds_demo, settings.port) == (
        "development",
        "warning",
        False,
        80,
    )


def test_the_database_url_has_an_older_name_too() -> None:
    alias = load_settings({"POSTGRESQL_URI": "postgresql://a/b"}, NO_FILE)
    assert (alias.database_url, alias.embedded) == ("postgresql://a/b", False)
    both = {"POSTGRESQL_URI": "postgresql://a/b", "DATABASE_URL": "postgresql://c/d"}
    assert load_settings(both, NO_FILE).database_url == "postgresql://c/d"


def test_a_file_fills_in_what_the_environment_leaves_open(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('# a comment\nPORT=4000\nexport HOLD_SECONDS=7\nHOST="0.0.0.0"\nUNKNOWN=x\n')
    settings = load_settings({"PORT": "5000"}, file)
    assert (settings.port, settings.hold_seconds, settings.host) == (5000, 7, "0.0.0.0")


def test_a_bad_value_in_the_file_is_named_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("HOLD_SECONDS=soon\n")
    with pytest.raises(InvalidSettings, match="HOLD_SECONDS"):
        load_settings({}, tmp_path / ".env")


@pytest.mark.parametrize("secret", ["", "short", "x" * 31, *sorted(PLACEHOLDER_SECRETS)])
def test_production_refuses_a_missing_short_or_well_known_secret(secret: str) -> None:
    for spelling in (secret, secret.upper()):
        with pytest.raises(InvalidSettings, match="JWT_SECRET"):
            load(APP_ENV="production", JWT_SECRET=spelling)


def test_production_takes_a_secret_of_32_bytes_and_is_strict_by_default() -> None:
    settings = load_settings({"APP_ENV": "production", "JWT_SECRET": SECRET}, NO_FILE)
    assert settings.production
    assert not settings.seeds_demo
    assert settings.booking_rate == "60/minute"
    assert signing_secret(settings) == SECRET


def test_a_refusal_does_not_repeat_a_secret() -> None:
    with pytest.raises(InvalidSettings) as error:
        load(APP_ENV="production", JWT_SECRET="half-a-secret")
    assert "half-a-secret" not in str(error.value)


@pytest.mark.parametrize("rate", ["off", "3/minute", "100 per hour"])
def test_the_rate_of_bookings_can_be_set_or_off(rate: str) -> None:
    settings = load_settings({"RATE_LIMIT_BOOKINGS": rate, "APP_ENV": "production", "JWT_SECRET": SECRET}, NO_FILE)
    assert settings.booking_rate == (None if rate == "off" else rate)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://clinic.example", "https://clinic.example"),
        ("HTTPS://Clinic.Example:443", "https://clinic.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://clinic.example:65535", "https://clinic.example:65535"),
    ],
)
def test_the_public_url_is_kept_as_browsers_write_it(url: str, origin: str) -> None:
    assert load_settings({"PUBLIC_URL": url}, NO_FILE).public_origin == origin
    assert load_settings({}, NO_FILE).public_origin is None


@pytest.mark.parametrize(
    "url",
    ["clinic.example", "https://", "https://clinic.example/", "https://clinic.example/book", "ftp://clinic.example",
     "https://clinic.example?x", "https://user@clinic.example", "https://clinic.example:port", "https://a b",
     "https://clinic.example:65536", "https://clinic.example:0443", "https://clinic.example:0", "https://a..b",
     "https://[::::]"],
)  # fmt: skip
def test_a_public_url_that_is_no_origin_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettings, match="PUBLIC_URL"):
        load(PUBLIC_URL=url)


@pytest.mark.parametrize("name", ["PUBLIC_URL", "CORS_ORIGINS"])
@pytest.mark.parametrize("url", ["https://ada:hidden@clinic.example/", "ada:hid@den@clinic.example"])
def test_the_refusal_of_a_url_does_not_show_its_password(name: str, url: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        load(**{name: url})
    assert "clinic.example" in str(refused.value)
    assert not re.search("ada|hid|den", str(refused.value))


def test_in_development_a_secret_is_made_once_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    settings = load_settings({"SLOTWISE_DATA_DIR": str(tmp_path / "data")}, NO_FILE)
    secret = signing_secret(settings)
    assert len(secret) >= 32
    assert signing_secret(settings) == secret
    assert stat.S_IMODE((tmp_path / "data" / "jwt_secret").stat().st_mode) == 0o600
    other = load_settings({"SLOTWISE_DATA_DIR": str(tmp_path / "other")}, NO_FILE)
    assert signing_secret(other) != secret


def test_processes_that_start_at_once_share_one_generated_secret(tmp_path: Path) -> None:
    settings = load_settings({"SLOTWISE_DATA_DIR": str(tmp_path / "data")}, tmp_path / "no.env")
    with ThreadPoolExecutor(16) as starts:
        secrets = set(starts.map(lambda _: signing_secret(settings), range(16)))
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 32
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["jwt_secret"]


def test_a_damaged_secret_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "jwt_secret").write_text("")
    with pytest.raises(InvalidSettings, match="jwt_secret is damaged"):
        signing_secret(load_settings({"SLOTWISE_DATA_DIR": str(tmp_path)}, tmp_path / "no.env"))
