"""All settings, from environment variables only. README lists them; a test compares."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import dj_database_url
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from platformdirs import user_data_dir

from gateway.config import environment as env
from gateway.config.log_format import without_traceback
from gateway.config.oidc import read_oidc_settings
from gateway.config.otel import read_otel_settings
from gateway.config.program import program_version

BASE_DIR = Path(__file__).resolve().parent.parent.parent
# Installed from a wheel, the packages are not in a checkout.
IN_CHECKOUT = (BASE_DIR / "manage.py").is_file() and (BASE_DIR / "pyproject.toml").is_file()
ASSETS_DIR = BASE_DIR if IN_CHECKOUT else BASE_DIR / "gateway" / "assets"
DATA_DIR = env.data_dir(
    "DRAGOMAN_DATA_DIR",
    str(BASE_DIR / "var") if IN_CHECKOUT else user_data_dir("dragoman", appauthor=False),
)
# Provider keys and settings; the environment takes precedence.
env.load_env_file(DATA_DIR.parent / ".env")

PROGRAM_VERSION = program_version()
DEBUG = env.boolean("DRAGOMAN_DEBUG", default=False)
SECRET_KEY = env.generated_secret("DRAGOMAN_SECRET_KEY", DATA_DIR / "secret_key")
# Newest first; all are tried when decrypting. Separate from SECRET_KEY, so that a leak of one
# does not affect the other's purpose.
ENCRYPTION_KEYS = env.generated_secret(
    "DRAGOMAN_ENCRYPTION_KEYS", DATA_DIR / "encryption_key", lambda: Fernet.generate_key().decode()
).split(",")
MASTER_KEY = env.text("DRAGOMAN_MASTER_KEY")
# The credential of the management API if no master key is configured.
ADMIN_KEY = env.generated_secret("DRAGOMAN_ADMIN_KEY", DATA_DIR / "admin_key")
# Any client key is accepted; `up` sets it for loopback only.
OPEN = env.boolean("DRAGOMAN_OPEN", default=False)
ALLOWED_HOSTS = env.names("DRAGOMAN_ALLOWED_HOSTS", "*" if DEBUG else "localhost,127.0.0.1,[::1]")
CSRF_FAILURE_VIEW = "console.pages.failures.no_csrf"
CSRF_TRUSTED_ORIGINS = env.names("DRAGOMAN_TRUSTED_ORIGINS")
# Addresses and networks whose X-Forwarded-For and -Proto are trusted.
TRUSTED_PROXIES = env.parse_variable(
    "DRAGOMAN_TRUSTED_PROXIES", env.text("DRAGOMAN_TRUSTED_PROXIES"), env.networks
)
# Whether Django's admin is at /admin/: raw tables, for emergencies.
DJANGO_ADMIN = env.boolean("DRAGOMAN_DJANGO_ADMIN", default=False)

# Checks of Django and of gateway/checks.py that this installation does not want.
SILENCED_SYSTEM_CHECKS = [
    *env.names("DRAGOMAN_SILENCED_CHECKS"),
    # TLS ends at a proxy, which redirects; with X-Forwarded-Proto: https, cookies are Secure.
    "security.W008",
    "security.W012",
    "security.W016",
    # Subdomains of the gateway's host, and browsers' preload list, are the operator's choice.
    "security.W005",
    "security.W021",
]

# The OpenID Connect provider for sign-in; None without one.
OIDC = read_oidc_settings()
# The extra `sso`: django-allauth for OpenID Connect, one-time codes and passkeys.
SSO_INSTALLED = find_spec("allauth") is not None
SSO_APPS = (
    [
        "allauth",
        "allauth.account",
        "allauth.socialaccount",
        # Its client, `requests`, is slow to import (70 modules).
        *(["allauth.socialaccount.providers.openid_connect"] if OIDC else []),
        "allauth.mfa",
    ]
    if SSO_INSTALLED
    else []
)
# Who must have a second factor besides the password: no one, admins or everyone.
REQUIRE_TWO_FACTOR = env.text("DRAGOMAN_REQUIRE_TWO_FACTOR", "none").strip().lower()
if REQUIRE_TWO_FACTOR not in {"none", "admins", "everyone"}:
    raise ImproperlyConfigured(
        f"DRAGOMAN_REQUIRE_TWO_FACTOR must be none, admins or everyone, not {REQUIRE_TWO_FACTOR!r}"
    )
if REQUIRE_TWO_FACTOR != "none":
    env.require_extra("DRAGOMAN_REQUIRE_TWO_FACTOR", "allauth", "sso")
# `daphne` replaces `runserver`, but importing it installs Twisted's reactor (30 MB,
# 0.3 s), so it is loaded for that command only.
INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv[1:2] and find_spec("daphne") else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    *SSO_APPS,
    "gateway",
    "console",
]
MIDDLEWARE = [
    "gateway.api.middleware.ReadYourWrites",
    "django.middleware.security.SecurityMiddleware",
    "console.middleware.SecurityHeaders",
    "console.middleware.Compression",
    "servestatic.middleware.ServeStaticMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "console.middleware.Language",
    "console.middleware.ReaderTimeZone",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    *(["allauth.account.middleware.AccountMiddleware"] if SSO_INSTALLED else []),
    "console.middleware.AuditMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    *(["console.two_factor_policy.TwoFactorRequired"] if REQUIRE_TWO_FACTOR != "none" else []),
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.middleware.FormActionRedirect",
]
ROOT_URLCONF = "gateway.config.urls"
ASGI_APPLICATION = "gateway.config.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ASSETS_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.template_context.console",
            ]
        },
    }
]

DATABASE_URL = env.text("DATABASE_URL", f"sqlite:///{DATA_DIR / 'dragoman.sqlite3'}")
DATABASES = {
    "default": env.parse_variable(
        "DATABASE_URL", DATABASE_URL, lambda url: dj_database_url.parse(url, conn_max_age=600)
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["ENGINE"] = "gateway.database.sqlite"
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        # A commit checkpoints the write-ahead log only if `store.checkpoint` has not for long; in
        # pages of 4 KiB.
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=8000;"
        ),
    }
    # Otherwise pytest-django gives the workers a file each: it knows Django's own backend only.
    DATABASES["default"]["TEST"] = {"NAME": ":memory:"}
    env.make_private(Path(DATABASES["default"]["NAME"]))
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    env.require_extra("DATABASE_URL", "psycopg", "postgres")
    DATABASES["default"]["ENGINE"] = "gateway.database"
    # A dead host is detected within some 20 s, idle or busy; one that acknowledges packets
    # without answering, within DATABASE_TIMEOUT_S. The URL's own options take precedence.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 3,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        **DATABASES["default"].get("OPTIONS", {}),
    }
# How long the serving processes wait for a response of PostgreSQL.
DATABASE_TIMEOUT_S = env.number("DRAGOMAN_DATABASE_TIMEOUT", 30, min_value=1)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["console.hashing.QueuedArgon2"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
# Of any other, Django would translate only its own words, such as "Key" and "Clear".
LANGUAGES = [("en", "English")]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = env.directory("DRAGOMAN_DATA_DIR", DATA_DIR / "static")
STATICFILES_DIRS = [ASSETS_DIR / "static"]
# Of the applications, only Django's admin has static files that a page uses.
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    *(["django.contrib.staticfiles.finders.AppDirectoriesFinder"] if DJANGO_ADMIN else []),
]
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_ALLOW_ALL_ORIGINS = False

LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "overview"
ACCOUNT_ADAPTER = "console.single_sign_on.adapters.AccountAdapter"
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SIGNUP_FIELDS = ["username*"]
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_REAUTHENTICATION_TIMEOUT = 600
MFA_ADAPTER = "console.two_factor.TwoFactorAdapter"
MFA_FORMS = {
    "login_webauthn": "console.passkey_forms.LoginForm",
    "authenticate_webauthn": "console.passkey_forms.SecondStepForm",
    "reauthenticate_webauthn": "console.passkey_forms.ConfirmationForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Dragoman"
# Clocks may differ by one period of 30 s.
MFA_TOTP_TOLERANCE = 1
SOCIALACCOUNT_ADAPTER = "console.single_sign_on.adapters.OidcAdapter"
# The page's policy lets forms go to this site only, also when redirected.
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "oidc",
                "name": OIDC.name,
                "client_id": OIDC.client_id,
                "secret": OIDC.client_secret,
                "settings": {"server_url": OIDC.issuer},
            }
        ],
        "SCOPE": list(OIDC.scopes),
    }
    if OIDC
    else {}
}
SESSION_ENGINE = "console.sessions"
SESSION_IDLE_HOURS = env.number("DRAGOMAN_SESSION_IDLE_HOURS", 24, min_value=0.1)
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
# Sent over HTTPS only, also as reported by a trusted proxy.
SECURE_HSTS_SECONDS = int(env.number("DRAGOMAN_HSTS_SECONDS", 31_536_000))
# Not "no-referrer": browsers would send forms with `Origin: null`, which CSRF protection rejects.
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The relay. Bytes and seconds; the README documents each of them.
MAX_BODY_BYTES = int(env.number("DRAGOMAN_MAX_BODY_BYTES", 32 * 1024 * 1024, min_value=1024))
MAX_REQUEST_ITEMS = int(env.number("DRAGOMAN_MAX_REQUEST_ITEMS", 20_000, min_value=100))
MAX_UPLOAD_BYTES = int(env.number("DRAGOMAN_MAX_UPLOAD_BYTES", 128 * 1024 * 1024, min_value=1024))
BODY_TIMEOUT_S = env.number("DRAGOMAN_BODY_TIMEOUT", 30, min_value=1)
# Time limit for a request's head, and for the first byte on a connection.
HEAD_TIMEOUT_S = env.number("DRAGOMAN_HEAD_TIMEOUT", 15, min_value=0.1)
# The port of `up` without `--port`.
PORT = int(env.number("DRAGOMAN_PORT", 4000))
# Per process. 0: derived from the machine's resources (capacity.py).
MAX_CONNECTIONS = int(env.number("DRAGOMAN_MAX_CONNECTIONS", 0))
MAX_REQUESTS = int(env.number("DRAGOMAN_MAX_REQUESTS", 0))
DRAIN_S = env.number("DRAGOMAN_DRAIN_SECONDS", 30)
# How long requests are still accepted after SIGTERM, while /health/ready reports not ready.
DRAIN_WAIT_S = env.number("DRAGOMAN_DRAIN_WAIT", 0)
# Whether media URLs from clients are fetched for providers that accept bytes only.
FETCH_MEDIA = env.boolean("DRAGOMAN_FETCH_MEDIA", default=False)
# The choices (`n`) that a request may have, where each is an upstream call of its own.
MAX_CHOICES = int(env.number("DRAGOMAN_MAX_CHOICES", 128, min_value=1))
# How long a session of the Realtime API may last (OpenAI's last an hour), and how long without a
# message of either side.
REALTIME_SESSION_S = env.number("DRAGOMAN_REALTIME_SESSION_TIMEOUT", 3600, min_value=1)
REALTIME_IDLE_S = env.number("DRAGOMAN_REALTIME_IDLE_TIMEOUT", 900, min_value=1)
# The endpoint that web searches of clients run at, for models whose provider has none.
WEB_SEARCH_URL = env.parse_variable(
    "DRAGOMAN_WEB_SEARCH_URL", env.text("DRAGOMAN_WEB_SEARCH_URL"), env.http_url
)
WEB_SEARCH_FORMAT = env.choice("DRAGOMAN_WEB_SEARCH_FORMAT", ["searxng", "tavily"])
WEB_SEARCH_KEY = env.text("DRAGOMAN_WEB_SEARCH_KEY")
WEB_SEARCH_TIMEOUT_S = env.number("DRAGOMAN_WEB_SEARCH_TIMEOUT", 10, min_value=0.1)
WEB_SEARCH_MAX_USES = int(env.number("DRAGOMAN_WEB_SEARCH_MAX_USES", 5))
# Whether upstreams receive the request's id and a W3C `traceparent`.
TRACE_HEADERS = env.boolean("DRAGOMAN_TRACE_HEADERS", default=True)
# Whether names of known models need neither a route nor a provider's name.
KNOWN_MODELS = env.boolean("DRAGOMAN_KNOWN_MODELS", default=True)
# Whether `up` looks for model servers on this machine's usual ports.
FIND_LOCAL_SERVERS = env.boolean("DRAGOMAN_FIND_LOCAL_SERVERS", default=True)
# The provider of calls that name neither a model nor a provider, if several offer them.
DEFAULT_PROVIDER = env.text("DRAGOMAN_DEFAULT_PROVIDER")
MODEL_ECHO = env.boolean("DRAGOMAN_MODEL_ECHO", default=True)
LOG_BODIES = env.boolean("DRAGOMAN_LOG_BODIES", default=True)
LOG_BODY_BYTES = int(env.number("DRAGOMAN_LOG_BODY_BYTES", 1024 * 1024))
LOG_RETENTION_DAYS = int(env.number("DRAGOMAN_LOG_RETENTION_DAYS", 30))
REASONING_HOURS = env.number("DRAGOMAN_REASONING_HOURS", 24)
# Limits of the keys that people create for themselves, unless their account has its own.
MEMBER_MAX_KEYS = int(env.number("DRAGOMAN_MEMBER_MAX_KEYS", 3))
MEMBER_MONTH_USD = env.parse_variable(
    "DRAGOMAN_MEMBER_MONTH_USD", env.text("DRAGOMAN_MEMBER_MONTH_USD"), env.dollars
)
MEMBER_KEY_DAYS = int(env.number("DRAGOMAN_MEMBER_KEY_DAYS", 0)) or None
PLAYGROUND_USD_PER_DAY = env.number("DRAGOMAN_PLAYGROUND_USD_PER_DAY", 5)
# Shared counters of limits for several machines; without it, per machine.
REDIS_URL = env.parse_variable("REDIS_URL", env.text("REDIS_URL"), env.redis_url)
if REDIS_URL:
    env.require_extra("REDIS_URL", "redis", "redis")
# HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR are read where
# connections to providers are opened (relay/upstream); `up` checks them.
JOURNAL_ITEMS = int(env.number("DRAGOMAN_JOURNAL_ITEMS", 20_000, min_value=1))
CACHE_BYTES = int(env.number("DRAGOMAN_CACHE_BYTES", 64 * 1024 * 1024, min_value=0))
JOURNAL_BYTES = int(env.number("DRAGOMAN_JOURNAL_BYTES", 64 * 1024 * 1024, min_value=1024))
JOURNAL_DISK_BYTES = int(env.number("DRAGOMAN_JOURNAL_DISK_BYTES", 1024 * 1024 * 1024))
JOURNAL_RESERVE_BYTES = int(env.number("DRAGOMAN_JOURNAL_RESERVE_BYTES", 16 * 1024 * 1024))

# Where the request log is exported to; nowhere by default.
LOG_EXPORT_URL = env.parse_variable(
    "DRAGOMAN_LOG_EXPORT_URL", env.text("DRAGOMAN_LOG_EXPORT_URL"), env.object_storage_url
)
if LOG_EXPORT_URL:
    env.require_extra("DRAGOMAN_LOG_EXPORT_URL", "obstore", "export")
LOG_EXPORT_INTERVAL_S = env.number("DRAGOMAN_LOG_EXPORT_INTERVAL", 300, min_value=1)
LOG_EXPORT_BODIES = env.boolean("DRAGOMAN_LOG_EXPORT_BODIES", default=False)
# A certificate in a file whose expiry raises an alert; `up --ssl-certfile` sets it.
WATCH_CERTIFICATE = env.text("DRAGOMAN_WATCH_CERTIFICATE").strip()
# Seconds between two checks of the conditions that raise alerts.
ALERT_INTERVAL_S = env.number("DRAGOMAN_ALERT_INTERVAL", 30, min_value=1)
# The mail server of alerts; none by default.
EMAIL_HOST = env.text("DRAGOMAN_SMTP_HOST")
EMAIL_PORT = int(env.number("DRAGOMAN_SMTP_PORT", 587))
EMAIL_HOST_USER = env.text("DRAGOMAN_SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("DRAGOMAN_SMTP_PASSWORD")
EMAIL_USE_TLS = env.boolean("DRAGOMAN_SMTP_STARTTLS", default=True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("DRAGOMAN_SMTP_FROM", "dragoman@localhost")
OTEL = read_otel_settings()
# One line for each model request, in the process's log.
ACCESS_LOG = env.boolean("DRAGOMAN_ACCESS_LOG", default=False)
LOG_LEVEL = env.choice("DRAGOMAN_LOG_LEVEL", ["INFO", "DEBUG", "WARNING", "ERROR", "CRITICAL"])
LOG_FORMAT = env.choice("DRAGOMAN_LOG_FORMAT", ["text", "json"])
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {
            "()": "gateway.config.log_format.KeyValueFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        },
        "json": {"()": "gateway.config.log_format.JsonFormatter"},
    },
    "filters": {
        "without_traceback": {
            "()": "django.utils.log.CallbackFilter",
            "callback": without_traceback,
        },
        "outage": {"()": "gateway.database.outage.OutageFilter"},
        # Paths of requests: LiteLLM's API has some with a key.
        "masking": {"()": "gateway.telemetry.masking.MaskingFilter"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        "gateway": {"level": LOG_LEVEL},
        "django.request": {"filters": ["outage", "masking"]},
        "django.security.DisallowedHost": {"filters": ["without_traceback"]},
        "gateway.api.failures": {"filters": ["outage"]},
        "gateway.compat.litellm.api.failures": {"filters": ["outage"]},
    },
}
