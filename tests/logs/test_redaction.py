"""Redaction: planted secrets never survive, clean values come back as they are, and no text takes long."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.logs.redaction import Redactor
from clew.logs.secret_keys import STEMS, SecretKeys
from clew.settings import Settings

SECRET = "hunter2-Xy9Zq"

SECRET_KEYS = (
    "password", "passwd", "PASSWORD", "dbPassword", "db_password", "user.password", "password2", "pwd", "passphrase",
    "secret", "client_secret", "clientSecret", "SECRET_KEY", "token", "access_token", "refreshToken", "csrfToken",
    "X-Auth-Token", "api_key", "apiKey", "API-KEY", "X-Api-Key", "apikey", "authorization", "Authorization",
    "Proxy-Authorization", "http.request.header.authorization", "cookie", "Set-Cookie", "private_key", "privateKey",
    "session_id", "sessionid", "JSESSIONID", "credential", "credentials", "aws_secret_access_key", "AWSSecretKey",
    "connection.password", "jwt", "otp", "cvv", "X-Amz-Signature", "X-Amz-Security-Token", "encryption_key", "db_pass",
)  # fmt: skip

OTHER_KEYS = (
    "author", "authority", "token_count", "max_tokens", "prompt_tokens", "total_tokens", "key", "keyboard", "monkey",
    "password_length", "password_changed_at", "secretary", "session_count", "cookie_consent_status", "passenger",
    "compass", "tokenizer", "secret_name", "token_type", "expires", "user", "id", "", "1", "http.request.method",
    "credit", "design", "primary_key", "foreign_key", "key_id_count", "bypass_cache", "signal",
)  # fmt: skip

TEMPLATES = (
    "login with password={} failed", "password: {}", 'x {{"password": "{}", "user": "bob"}}', "{{'api_key': '{}'}}",
    r"{{\"client_secret\":\"{}\"}}", "Authorization: Bearer {}", "authorization=Basic {}", "Cookie: id={}; theme=dark",
    "GET /login?user=bob&password={}&next=/ HTTP/1.1", "https://bob:{}@db.example/x",
    "postgresql+psycopg://u:{}@db:5432/x",
    "https://{}@github.example/x", "mysql --password {} -u root", "mysql --password={}", "<password>{}</password>",
    "[('Authorization', 'Bearer {}'), ('Accept', '*/*')]", "(b'cookie', b'{}')", "Bearer {}", "token => {}",
    "d['password'] = '{}'", "User(name='bob', password='{}')", "credentials: {{'user': 'bob', 'value': ['{}']}}",
    "Server=db;Password={};Database=x", "api key: {}", "secret:{}", "user[password]={}", "pass%77ord={}", 'token="{}',
    "WHERE name = 'bob' AND password = '{}'", 'password="{}" and more', "?X-Amz-Signature={}&x=1", "%70assword={}",
)  # fmt: skip

SHAPES = (
    "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "github_pat_" + "a1B2_" * 10, "glpat-" + "a1B2" * 5,
    "xoxb-123456789012-abcdefABCDEF", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4",
    "AIza" + "a1B2_" * 7, "whsec_" + "a1+/" * 8 + "==",
    "sk_" + "live_" + "a1B2" * 6, "sk-" + "proj-" + "a1B2" * 8, "npm_" + "a1B2" * 9, "pypi-" + "AgEIcHlwaS5vcmcC",
    "hf_" + "aBcD" * 8, "SG." + "a1B2" * 5 + "." + "a1B2" * 10, "dop_v1_" + "0a1b" * 16, "shpat_" + "0a1b" * 8,
)  # fmt: skip


@pytest.fixture
def redactor() -> Redactor:
    """Return a redactor of default settings."""
    return Redactor(Settings())


class TestKeys:
    """A key's words say whether it holds a secret."""

    @pytest.mark.parametrize("key", SECRET_KEYS)
    def test_secret(self, key: str, redactor: Redactor) -> None:
        """The value of a well-known secret key is replaced."""
        assert redactor.attributes({key: SECRET}) == {key: "[redacted]"}

    @pytest.mark.parametrize("key", OTHER_KEYS)
    def test_not_secret(self, key: str, redactor: Redactor) -> None:
        """A key that only looks like one keeps its value."""
        attributes = {key: "bob"}

        assert redactor.attributes(attributes) is attributes

    @given(st.text(max_size=12), st.sampled_from(SECRET_KEYS))
    def test_stems(self, prefix: str, key: str) -> None:
        """Each secret key contains a stem, or it would be overlooked in texts."""
        keys = SecretKeys()
        if keys[f"{prefix}_{key}"]:
            assert any(stem in key.lower() for stem in STEMS)

    @given(st.text(alphabet="aceghijkoprstuvwy s", max_size=12), st.sampled_from(STEMS), st.booleans())
    def test_texts_with_stems(self, text: str, stem: str, put: bool) -> None:
        """A text is asked for every stem."""
        text = f"{text[:3]}{stem}{text[3:]}" if put else text

        assert any(each in text for each in STEMS) == SecretKeys().may_be_in(text)

    def test_more_and_allow(self) -> None:
        """The settings add keys and take some away."""
        settings = Settings.from_mapping({"CLEW_REDACT_KEYS": "tax_id,iban", "CLEW_REDACT_ALLOW": "session_id"})
        redactor = Redactor(settings)

        found = redactor.attributes({"customer.taxId": "1", "IBAN": "2", "sessionId": "3", "user_session_id": "4"})

        assert found == {
            "customer.taxId": "[redacted]",
            "IBAN": "[redacted]",
            "sessionId": "3",
            "user_session_id": "[redacted]",
        }
        assert redactor.text("tax_id=12 tax=3") == "tax_id=[redacted] tax=3"

    def test_no_value_is_no_secret(self, redactor: Redactor) -> None:
        """That a password is missing stays to be seen."""
        attributes = {"password": None, "token": "", "secret": False}

        assert redactor.attributes(attributes) is attributes


class TestText:
    """Secrets in texts, announced by a key or known by their shape."""

    @pytest.mark.parametrize("template", TEMPLATES)
    def test_announced(self, template: str, redactor: Redactor) -> None:
        """The value goes, in whatever notation."""
        found = redactor.text(template.format(SECRET))

        assert SECRET not in found
        assert "[redacted]" in found

    @pytest.mark.parametrize("token", SHAPES)
    def test_shape(self, token: str, redactor: Redactor) -> None:
        """A token of a well-known issuer goes wherever it stands."""
        assert redactor.text(f"got {token}, thanks") == "got [redacted], thanks"

    def test_private_key(self, redactor: Redactor) -> None:
        """A private key goes as a whole, a cut-off one to its end."""
        block = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"

        assert redactor.text(f"a {block} b") == "a [redacted] b"
        assert redactor.text("a -----BEGIN PRIVATE KEY-----\nMIIE") == "a [redacted]"

    def test_json_stays_json(self, redactor: Redactor) -> None:
        """A JSON text can still be parsed."""
        text = json.dumps({"user": "bob", "password": 'a"b\\c', "nested": {"token": "x y", "n": 1}})

        assert json.loads(redactor.text(text)) == {
            "user": "bob",
            "password": "[redacted]",
            "nested": {"token": "[redacted]", "n": 1},
        }

    @pytest.mark.parametrize(
        "text",
        [
            "the author of basic authentication: bob",
            "KeyError: 'password'",
            "token_count=12 max_tokens=4096 status: 200",
            "see https://example.com/a?b=c#d at 12:30:45",
            "password: None",
            "Bearer of bad news: nobody",
            "task-key monkey=7 primary_key=12",
            "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        ],
    )
    def test_clean(self, text: str, redactor: Redactor) -> None:
        """A text without secrets is the very same object."""
        assert redactor.text(text) is text
        assert redactor.text(text) is text

    def test_url(self, redactor: Redactor) -> None:
        """A URL keeps all but its credentials and secret parameters."""
        url = "https://bob:pw@shop.example/cart?id=7&access_token=abc&sig=def#top"

        assert redactor.url(url) == "https://[redacted]@shop.example/cart?id=7&access_token=[redacted]&sig=[redacted]"

    def test_patterns_of_the_user(self) -> None:
        """What the user's own patterns match goes too, and a mark is never matched."""
        redactor = Redactor(Settings(redact_patterns=(re.compile(r"[a-z]{8,}"), re.compile("x*"))))

        assert redactor.text("call redacted now, password=b") == "call [redacted] now, [redacted]=[redacted]"

    def test_off(self) -> None:
        """CLEW_REDACT=off leaves everything."""
        redactor = Redactor(Settings.from_mapping({"CLEW_REDACT": "off"}))

        assert redactor.text("password=x") == "password=x"
        assert redactor.attributes({"password": "x"}) == {"password": "x"}


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make lists, tuples and dicts of up to a few levels around `leaf`."""
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20))
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(plain, inner).map(list),
            st.tuples(inner, plain, plain),
            st.builds(lambda key, value, more: {"a": more, key: value}, st.text(max_size=8), inner, plain),
        ),
        max_leaves=4,
    )


PLANTED = st.one_of(
    st.sampled_from(TEMPLATES).map(lambda template: template.format(SECRET)),
    st.sampled_from(TEMPLATES).map(lambda template: template.format(SECRET).encode()),
    st.sampled_from(SECRET_KEYS).map(lambda key: {key: SECRET}),
    st.sampled_from(SECRET_KEYS).map(lambda key: {key: [1, {"x": SECRET}]}),
    st.sampled_from(SECRET_KEYS).map(lambda key: (key, SECRET)),
    st.sampled_from(TEMPLATES).map(lambda template: {template.format(SECRET): 1}),
    st.just(["mysql", "--password", SECRET, "-v"]),
)


class TestAttributes:
    """Values of every nesting."""

    @given(nested(PLANTED))
    def test_planted_secrets(self, value: object) -> None:
        """A planted secret survives at no depth and in no position, and a second pass changes nothing."""
        redactor = Redactor(Settings())
        once = redactor.attributes({"a": 1, "value": value})

        assert SECRET not in repr(once)
        assert redactor.attributes(once) == once

    @given(st.text(), st.sampled_from(TEMPLATES), st.text(alphabet=" \n,.;)]}", max_size=3))
    def test_planted_in_text(self, before: str, template: str, after: str) -> None:
        """A planted secret survives in no text, and a second pass changes nothing."""
        redactor = Redactor(Settings())
        once = redactor.text(f"{before} {template.format(SECRET)}{after}")

        assert SECRET not in once
        assert redactor.text(once) == once

    @given(
        st.dictionaries(st.text(alphabet="abcdef."), st.one_of(st.integers(), st.text(alphabet="abc xyz"), st.none()))
    )
    def test_clean(self, attributes: dict[str, Any]) -> None:
        """Attributes without secrets are the very same object."""
        assert Redactor(Settings()).attributes(attributes) is attributes

    def test_what_is_given_stays(self, redactor: Redactor) -> None:
        """The caller's own object is not changed."""
        given_attributes = {"x": [{"password": SECRET}]}

        redactor.attributes(given_attributes)

        assert given_attributes == {"x": [{"password": SECRET}]}

    def test_cycle(self, redactor: Redactor) -> None:
        """A container that holds itself ends."""
        cycle: list[Any] = ["a"]
        cycle += [cycle, cycle]

        assert redactor.attributes({"x": cycle}) == {"x": ["a", "[redacted]", "[redacted]"]}


@pytest.mark.parametrize(
    "piece",
    [
        "a", "password", "password=", '"', "\\", 'password"\\', "eyJ", "eyJaaaaaa.", "://", "a:b@",
        "-----BEGIN PRIVATE KEY-----",
        "=", ":", "--a ", "<password>", "Bearer ", "bearer aaaaaaaa", "(", "password=[", "%70", "key ",
        "ghp_", "x-", "AKIA",
        "'password' , ", "token: '", "Authorization: ", ".", "api ", "sk-", "password:\t",
    ],
)  # fmt: skip
def test_no_text_takes_long(piece: str, redactor: Redactor) -> None:
    """The worst texts take time linear in their length: 200 kB far below what a quadratic pattern would take."""
    text = piece * (200_000 // len(piece))
    start = time.process_time()

    redactor.text(text)

    assert time.process_time() - start < 2
