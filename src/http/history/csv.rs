//! CSV (RFC 4180).

use std::fmt::Display;

/// A value of a row.
pub(super) enum Cell<'a> {
    Text(&'a str),
    Owned(String),
}

impl Cell<'_> {
    pub(super) fn shown(value: impl Display) -> Self {
        Self::Owned(value.to_string())
    }

    pub(super) fn optional(value: Option<impl Display>) -> Self {
        Self::Owned(value.map(|value| value.to_string()).unwrap_or_default())
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// Appends a row.
pub(super) fn append<'a>(body: &mut Vec<u8>, cells: impl IntoIterator<Item = Cell<'a>>) {
    for (position, cell) in cells.into_iter().enumerate() {
        if position > 0 {
            body.push(b',');
        }
        append_cell(body, cell.as_str());
    }
    body.extend(b"\r\n");
}

/// First characters of texts that spreadsheets take for formulas, the full-width forms of East Asian versions included.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Reports whether a spreadsheet could take a text for a formula. Some leave out spaces and control characters at the
/// beginning, and some take a text for a formula because of them.
fn is_formula(text: &str) -> bool {
    let is_ignored = |first: char| first.is_whitespace() || first.is_control() || first == '\u{feff}';
    text.trim_start_matches(is_ignored).starts_with(FORMULA) || text.starts_with(['\t', '\r', '\n'])
}

/// A text that a spreadsheet could take for a formula gets an apostrophe in front, because participants choose their
/// names themselves.
fn append_cell(body: &mut Vec<u8>, text: &str) {
    let is_formula = is_formula(text);
    if !is_formula && !text.contains([',', '"', '\r', '\n']) {
        return body.extend(text.as_bytes());
    }
    body.extend(if is_formula { &b"\"'"[..] } else { b"\"" });
    body.extend(text.replace('"', "\"\"").as_bytes());
    body.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_characters_are_quoted_and_formulas_are_texts() {
        let mut body = Vec::new();
        append(&mut body, ["a b", "", "1,2", "a\"b", "x\ny", "=1+1", "@x"].map(Cell::Text));
        let expected = "a b,,\"1,2\",\"a\"\"b\",\"x\ny\",\"'=1+1\",\"'@x\"\r\n";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        for formula in ["-1", "+1", "\t=1", "\r=1", "\na", " \0=1", "\u{feff}=1", "＝1", "＠x"] {
            let mut body = Vec::new();
            append(&mut body, [Cell::Text(formula)]);
            assert_eq!(String::from_utf8(body).unwrap(), format!("\"'{formula}\"\r\n"));
        }
    }
}
