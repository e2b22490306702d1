"""A token is found in whatever people paste, and what is none is refused without being repeated."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from logger.errors import TokenError, TokenExpiredError
from logger.gateway import words
from logger.gateway.token import Token

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SERIAL = "122334455667"


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def made(algorithm: str = "ES256", signature: int = 64, **claims: Any) -> str:
    head = {"kid": "7d", "typ": "JWT", "alg": algorithm}
    known = {"aud": SERIAL, "iss": "Entrez", "enphaseUser": "owner", "exp": NOW.timestamp() + 3e7,
             "iat": NOW.timestamp() - 60, "jti": "4f", "username": "me@example.org"}  # fmt: skip
    left = {key: value for key, value in (known | claims).items() if value is not None}
    end = (b"\xfb\xef\xbe\xfc\x0f" * 40)[:signature]  # with two hyphens, and with one
    return ".".join(part(content) for content in (json.dumps(head).encode(), json.dumps(left).encode(), end))


TOKEN = made()
NESTED = ".".join(map(part, (b'{"alg":"ES256"}', b'{"aud":' + b"[" * 4000, bytes(64))))


def wrapped(width: int, between: str) -> str:
    return between.join(TOKEN[start : start + width] for start in range(0, len(TOKEN), width))


PASTED: dict[str, Callable[[], str]] = {
    "as it is": lambda: f"  {TOKEN}\n",
    "with a scheme": lambda: f"Bearer {TOKEN}",
    "as a header": lambda: f"Authorization: Bearer {TOKEN}\r\n",
    "in quotes": lambda: f'"{TOKEN}",',
    "in curly quotes": lambda: f"\u201c{TOKEN}\u201d",
    "in backticks": lambda: f"`{TOKEN}`",
    "with a label": lambda: f"My new token: {TOKEN}",
    "with a label and no space": lambda: f"token={TOKEN}",
    "in a sentence": lambda: f"Here is the new token {TOKEN} and it lasts a year.",
    "before a line": lambda: f"{TOKEN}\nValid until 2027-06-15",
    "wrapped": lambda: wrapped(64, "\n") + "\n",
    "wrapped by Windows": lambda: wrapped(76, "\r\n"),
    "wrapped and indented": lambda: wrapped(40, "\n    "),
    "wrapped, before other words": lambda: wrapped(64, "\n") + "\n\nKind regards\n",
    "quoted in an answer": lambda: "> " + wrapped(60, "\n> "),
    "quoted-printable": lambda: wrapped(75, "=\n"),
    "with a backslash at each line's end": lambda: wrapped(70, "\\\n"),
    "wrapped by HTML": lambda: f"<textarea rows=9>{wrapped(50, '<wbr>')}</textarea>",
    "in a page": lambda: f"<html><p>Your token is</p><textarea>{TOKEN}</textarea></html>",
    "with entities": lambda: f"&nbsp;{TOKEN}&#8203;&nbsp;",
    "in JSON": lambda: json.dumps({"generation_time": 1, "token": TOKEN, "expires_at": 2}),
    "in JSON, wrapped": lambda: json.dumps({"token": wrapped(60, "\n")}, indent=2),
    "in a piece of JSON": lambda: f'"token": "{TOKEN}", "expires_at": 2}}',
    "in a program's text": lambda: repr(wrapped(60, "\n"))[1:-1],
    "beside another": lambda: json.dumps({"manager_token": made(aud=None, iss="x"), "token": TOKEN}),
    "after another": lambda: f"{made(aud=None)}\n\n;{TOKEN}",
    "with a byte order mark": lambda: f"\ufeff{TOKEN}\n",
    "with zero-width spaces": lambda: wrapped(30, "\u200b"),
    "with soft hyphens": lambda: wrapped(30, "\u00ad"),
    "with no-break spaces": lambda: f"\u00a0{wrapped(100, chr(0xA0))}",
    "with another hyphen": lambda: TOKEN.replace("-", "\u2011"),
    "with a dash for two hyphens": lambda: TOKEN.replace("--", "\u2014"),
    "with a dash for each hyphen": lambda: TOKEN.replace("-", "\u2013"),
    "with a capital": lambda: f"E{TOKEN[1:]}",
    "with padding": lambda: f"{TOKEN}==",
    "twice": lambda: f"{TOKEN}\n{TOKEN}\n",
    "colored": lambda: f"\x1b[32m{TOKEN}\x1b[0m".replace("\x1b[32m", "\x1b"),
}


@pytest.mark.parametrize("form", PASTED)
def test_a_token_is_found_in_what_surrounds_it(form: str) -> None:
    found = Token.parse(PASTED[form]())
    assert found.text == TOKEN
    assert (found.serial, found.user) == (SERIAL, "owner")


def test_the_example_has_each_character_of_the_alphabet_that_a_program_may_replace() -> None:
    assert set("-_") < set(TOKEN)
    assert "--" in TOKEN
    assert len(TOKEN.rpartition(".")[2]) == 86


@pytest.mark.parametrize("lost", [1, 2, 10, 85])
def test_a_token_whose_end_was_cut_off_is_refused_and_the_loss_is_counted(lost: int) -> None:
    with pytest.raises(TokenError, match=f"cut off, {lost} characters are missing") as caught:
        Token.parse(TOKEN[:-lost])
    assert "get one at https://entrez" in str(caught.value)


def test_a_token_of_any_length_that_is_not_whole_is_refused_and_never_repeated() -> None:
    for end in range(0, len(TOKEN), 7):
        with pytest.raises(TokenError) as caught:
            Token.parse(TOKEN[:end])
        assert "eyJhb" not in str(caught.value).replace("begins with eyJ", "")


def test_text_right_behind_a_token_is_refused() -> None:
    with pytest.raises(TokenError, match="something follows it"):
        Token.parse(f"{TOKEN}Q")


@pytest.mark.parametrize(
    "text",
    ["", " \n", "Error in generating Token", "<html>Sign in</html>", "{}", "null", '{"token": null}', "1.2.3", "eyJ",
     "eyJ.eyJ.eyJ", NESTED, "[" * 100_000, '{"error": "not found"}', "\x00" * 5000, "eyJ" * 60_000],
)  # fmt: skip
def test_what_is_no_token_is_one_sentence(text: str) -> None:
    with pytest.raises(TokenError, match="can't be read"):
        Token.parse(text)


def test_what_a_token_says_is_fit_to_be_shown_and_to_be_reckoned_with() -> None:
    token = Token.parse(made(aud="1\x1b[2J", enphaseUser=["\u202e"], exp=-62_135_596_800))
    assert (token.serial, token.user) == ("1\ufffd[2J", "owner")
    assert token.is_due(NOW)
    assert token.is_over(NOW)


def test_a_token_of_another_service_is_refused() -> None:
    with pytest.raises(TokenError, match="for no gateway"):
        Token.parse(made(aud=None, iss="home-assistant"))


@pytest.mark.parametrize(("algorithm", "signature"), [("HS256", 32), ("ES384", 96), ("none", 5), ("EdDSA", 64)])
def test_the_length_of_the_signature_follows_its_algorithm(algorithm: str, signature: int) -> None:
    whole = made(algorithm, signature)
    assert Token.parse(f"token: {whole} \n").text == whole


def test_a_gateway_that_was_not_commissioned_has_a_token_for_any_serial() -> None:
    token = Token.parse(made(aud="un-commissioned"))
    token.check("1", NOW)
    assert token.serial is None


def test_a_token_is_checked_against_its_gateway_and_the_time() -> None:
    token = Token.parse(TOKEN)
    token.check(SERIAL, NOW)
    with pytest.raises(TokenError, match=f"belongs to gateway {SERIAL}, but 999 answers"):
        token.check("999", NOW)
    with pytest.raises(TokenExpiredError, match="expired on"):
        token.check(SERIAL, NOW + timedelta(days=400))


def test_a_token_that_lasts_for_hours_is_short_whoever_it_is_of() -> None:
    assert not Token.parse(TOKEN).is_short
    assert Token.parse(made(exp=NOW.timestamp() + 43_200)).is_short
    assert Token.parse(made(enphaseUser="installer", exp=NOW.timestamp() + 43_200)).is_short
    assert not Token.parse(made(enphaseUser="installer")).is_short


def test_the_life_of_a_token_in_words() -> None:
    line, advice = words.lifetime(Token.parse(TOKEN), NOW, renews=False)
    assert line == "an owner's token, good until 2027-05-28 (347 days)"
    assert "health" in advice
    short = Token.parse(made(enphaseUser="installer", exp=NOW.timestamp() + 43_200))
    assert words.lifetime(short, NOW, renews=True) == [
        "an installer's token, good for 12 hours; it is renewed by itself"
    ]
    assert "lasts a year" in words.lifetime(short, NOW, renews=False)[1]
