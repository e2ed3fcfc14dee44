"""What looks like a secret, and what does not: words of a command line, texts, values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import sample

from advisor.errors import UsageError
from advisor.redaction import HIDDEN, Redactor, is_placeholder
from advisor.target import command as commands
from advisor.types import Command

SECRET_WORDS = [
    (["--api-key", "abc"], ["--api-key", HIDDEN]),
    (["--api_key=abc"], [f"--api_key={HIDDEN}"]),
    (["--wandb-api-key", "0123456789abcdef"], ["--wandb-api-key", HIDDEN]),
    (["-token", "abc"], ["-token", HIDDEN]),
    (["--hf-token", "abc"], ["--hf-token", HIDDEN]),
    (["--hub_token", "abc"], ["--hub_token", HIDDEN]),
    (["--password", "1234"], ["--password", HIDDEN]),
    (["--db.pass=x y"], [f"--db.pass={HIDDEN}"]),
    (["--dbPassword", "x"], ["--dbPassword", HIDDEN]),
    (["--client-secret", "x"], ["--client-secret", HIDDEN]),
    (["--auth", "me:pw"], ["--auth", HIDDEN]),
    (["password=hunter"], [f"password={HIDDEN}"]),
    (["+logger.wandb.api_key=abc"], [f"+logger.wandb.api_key={HIDDEN}"]),
    (["AWS_SECRET_ACCESS_KEY=abc"], [f"AWS_SECRET_ACCESS_KEY={HIDDEN}"]),
    (["--key", "a1b2c3d4e5f6a7b8c9d0e1f2"], ["--key", HIDDEN]),
    (["--model", "sk-proj-Ab3dEf6hIj"], ["--model", HIDDEN]),
    (["hf_AbCdEfGhIjKlMnOp"], [HIDDEN]),
    (["--hub", "x/hf_AbCdEfGhIjKlMnOp"], ["--hub", f"x/{HIDDEN}"]),
    (["AKIAIOSFODNN7EXAMPLE"], [HIDDEN]),
    (["ghp_0123456789abcdefghij"], [HIDDEN]),
    (["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN"], [HIDDEN]),
    (["--db", "postgresql://me:secret@host/db"], ["--db", f"postgresql://{HIDDEN}@host/db"]),
    (["--db", "postgresql://me:se/cr@et@host/db"], ["--db", f"postgresql://{HIDDEN}@host/db"]),
    (["--proxy=http://token@proxy:80"], [f"--proxy=http://{HIDDEN}@proxy:80"]),
    (["--headers", '{"Authorization": "Bearer abc12345"}'], ["--headers", f'{{"Authorization": "{HIDDEN}"}}']),
    (["--json", '{"api_key": "abc", "lr": 0.1}'], ["--json", f'{{"api_key": "{HIDDEN}", "lr": 0.1}}']),
    (["--url", "https://host/x?access_token=abc&n=1"], ["--url", f"https://host/x?access_token={HIDDEN}"]),
]
HARMLESS_WORDS = [
    ["--lr", "0.1", "--epochs=3"],
    ["--tokenizer", "gpt2"],
    ["--max-tokens", "512", "--num_tokens=100", "--tokens-per-batch", "4096"],
    ["--pad-token", "<pad>", "--eos_token=eot", "--mask-token", "[MASK]"],
    ["--key", "image", "--label-key", "label", "sort_key=length"],
    ["--num-key-value-heads", "8"],
    ["--use-auth-token", "--fp16"],
    ["--use_auth_token=True", "--token", "none"],
    ["--token-file", "/run/token", "--password-file=pw.txt", "--api-key-env", "MY_KEY"],
    ["--api-key", "$KEY"],
    ["--pin-memory", "--forward-pass", "2"],
    ["--disk-cache-dir", "task-sk-learn", "hf_dataset"],
    ["--repo", "https://host:8080/path@v1", "git@host:x/y.git"],
    ["--date", "12:30@x"],
]
HARMLESS_TEXTS = [
    "next_token = logits.argmax(-1)",
    "api_key=args.api_key, token=tokens[i]",
    "api_key = os.environ['KEY']",
    "argument --token: expected one argument",
    "the following arguments are required: --api-key",
    "the password is missing, and the token was expired",
    "epoch 3, token: 12, loss per token: 0.31",
    "for token in tokens: key = token",
]
SECRET_TEXTS = [
    ("login(token='s3cr3t!')", f"login(token='{HIDDEN}')"),
    ("train.py --api-key foo --lr 1", f"train.py --api-key {HIDDEN} --lr 1"),
    ("password: hunter", f"password: {HIDDEN}"),
    ("host=x password=hunter port=1", f"host=x password={HIDDEN} port=1"),
    ("Authorization: Bearer abcdef123456", f"Authorization: Bearer {HIDDEN}"),
    ("git clone https://u:p@h/x done", f"git clone https://{HIDDEN}@h/x done"),
    ("no: sk-ABCDEFGH12345678, sorry", f"no: {HIDDEN}, sorry"),
    (
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nabc\n-----END RSA PRIVATE KEY-----\nrest",
        f"{HIDDEN}\nrest",
    ),
]


@pytest.mark.parametrize(("words", "shown"), SECRET_WORDS, ids=[" ".join(words) for words, _ in SECRET_WORDS])
def test_secrets_of_a_command_line_are_hidden(words: list[str], shown: list[str]) -> None:
    assert list(Redactor().words(words)) == shown


@pytest.mark.parametrize("words", HARMLESS_WORDS, ids=" ".join)
def test_what_is_no_secret_stays(words: list[str]) -> None:
    assert list(Redactor().words(words)) == words
    assert Redactor.of_words(words).known == ()


@pytest.mark.parametrize(("text", "shown"), SECRET_TEXTS)
def test_secrets_in_a_text_are_hidden(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_a_text_about_secrets_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_a_value_of_the_command_line_is_hidden_wherever_it_stands() -> None:
    redactor = Redactor.of_words(["--token", "Xy12-34", "--db", "mysql://me:p4ss-word@h/d"])
    assert redactor.text("refused Xy12-34; p4ss-word; aXy12-34b") == f"refused {HIDDEN}; {HIDDEN}; aXy12-34b"


def test_a_secret_that_is_an_ordinary_word_takes_no_other_word_away() -> None:
    redactor = Redactor.of_words(["--password", "train"])
    assert redactor.text("train.py trains") == "train.py trains"
    assert redactor.words(["train.py", "--password", "train"]) == ("train.py", "--password", HIDDEN)


def test_secret_variables_of_the_environment_are_known() -> None:
    redactor = Redactor.of_words([], {"WANDB_API_KEY": "0a1b2c3d4e5f", "PWD": "/home/me/work1", "N_TOKENS": "12345678"})
    assert redactor.known == ("0a1b2c3d4e5f",)


def test_every_text_of_a_profile_is_redacted_and_nothing_else_changes() -> None:
    profile = sample.crashed()
    assert Redactor().of(profile) is profile
    assert profile.failure is not None
    command = replace(profile.command, args=("--api-key", "Hunter2-xyz"))
    failure = replace(profile.failure, stderr_tail="bad key Hunter2-xyz", exceptions=("KeyError: Hunter2-xyz",))
    found = Redactor.of_words(command.args).of(
        replace(profile, command=command, failure=failure, notes=("at Hunter2-xyz",))
    )
    assert found == replace(
        profile,
        command=replace(command, args=("--api-key", HIDDEN)),
        failure=replace(failure, stderr_tail=f"bad key {HIDDEN}", exceptions=(f"KeyError: {HIDDEN}",)),
        notes=(f"at {HIDDEN}",),
    )


@given(st.lists(st.text(max_size=40), max_size=6), st.text(max_size=200))
def test_any_words_and_texts_can_be_redacted_and_twice_is_once(words: list[str], text: str) -> None:
    redactor = Redactor.of_words(words)
    shown = redactor.words(words)
    assert len(shown) == len(words)
    assert redactor.text(redactor.text(text)) == redactor.text(text)


@pytest.mark.parametrize(
    "text", ["a-b.key_" * 40_000, "key " + "x" * 300_000, "://" + "a:" * 100_000, "--key " * 50_000, "sk-" * 100_000]
)
def test_long_texts_take_no_time(text: str) -> None:
    """A pattern that goes back and forth over them would take minutes, and the test its time limit."""
    assert len(Redactor().text(text)) <= len(text)


@pytest.mark.parametrize("word", [HIDDEN, f"--api-key={HIDDEN}", f"postgresql://{HIDDEN}@host/db"])
def test_a_command_that_was_copied_from_a_report_asks_for_the_secret(word: str) -> None:
    assert is_placeholder(word)
    with pytest.raises(UsageError, match="type the secret itself"):
        commands.build(__file__, ["--x", word])


@pytest.mark.parametrize("word", ["a***b", "**/*", "--glob=***.txt", "--lr=1"])
def test_other_stars_are_arguments(word: str) -> None:
    assert isinstance(commands.build(__file__, [word]), Command)
