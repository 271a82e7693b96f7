"""Letters that can't be of the target language."""

import pytest

from jobs.kinds.translation.scripts import in_another_script


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("Password changed.", "ru"),
        ("Password changed.", "zh-Hant"),
        ("Password changed.", "ja"),
        ("Password changed.", "sr-Cyrl"),
        ("Пароль изменён.", "fr"),
        ("パスワードが変更されました", "zh-Latn"),
        ("密码已更改密码已更改密码", "ko-Hang"),
        ("תודה רבה לך מאוד", "ar"),
    ],
)
def test_letters_that_can_not_be_the_targets_are_found(text: str, target: str) -> None:
    assert in_another_script(text, target)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("Пароль изменён.", "ru"),
        ("Lozinka je promenjena.", "sr"),
        ("Password", "ru"),  # too short to say
        ("", "ru"),
        ("12345 67890 12345", "ru"),
        ("Нажмите OK в TIDEMILL WORKBENCH STUDIO", "ru"),
        ("パスワードが変更されました", "ja"),
        ("암호가 변경되었습니다 확인", "ko"),
        ("密码已更改密码已更改密码", "zh"),
        ("Το συνθηματικό άλλαξε", "el"),
        ("Password changed.", "zu-Qqqq"),
    ],
)
def test_a_text_in_the_targets_own_letters_passes(text: str, target: str) -> None:
    assert not in_another_script(text, target)
