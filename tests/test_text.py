"""Text of strangers cannot move the cursor, the direction of writing or a spreadsheet."""

import pytest

from dlcli.text import cell, printable, tabled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("shirt", "shirt"),
        ("T-shirt \u00e9 \u4e2d \U0001f600", "T-shirt \u00e9 \u4e2d \U0001f600"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069\u200f\u2028", "\\u2066x\\u2069\\u200f\\u2028"),
        ("\x9b2J", "\\x9b2J"),
        ("\udcff\ud800", "\\udcff\\ud800"),
        (3, "3"),
    ],
)
def test_what_is_not_printable_is_escaped(text, shown):
    assert printable(text) == shown
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"), [("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("@SUM(1)", "'@SUM(1)"), ("loss", "loss")]
)
def test_formulas_are_quoted(text, shown):
    assert cell(text) == shown


def test_a_row_of_a_table_holds_anything():
    assert tabled(["a|b", "\x1b[2J\n", 3]) == "| a\\|b | \\x1b[2J\\n | 3 |"
