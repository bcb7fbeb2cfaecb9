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

/// A text that a spreadsheet could take for a formula gets an apostrophe in front, because participants choose their
/// names themselves.
fn append_cell(body: &mut Vec<u8>, text: &str) {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
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
    }
}
