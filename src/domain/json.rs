//! JSON values whose numbers and strings keep their text.
//!
//! `serde_json::Value` rounds numbers to 64-bit floats and keeps the last of two equal keys, so it may change metadata.
//! Here `serde_json` checks the syntax, and the text is then split without any conversion.

use std::{borrow::Cow, fmt};

use serde::de::IgnoredAny;

/// Maximum depth of nesting, which is also `serde_json`'s.
const MAX_DEPTH: usize = 127;

/// Reason for which a text does not parse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// The text is not JSON (RFC 8259).
    #[error("is not JSON: {0}")]
    Syntax(String),
    /// Objects and arrays are nested deeper than 127 levels.
    #[error("is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

impl From<serde_json::Error> for JsonError {
    fn from(error: serde_json::Error) -> Self {
        Self::Syntax(error.to_string())
    }
}

/// Members of a JSON object in their order. Keys may repeat.
pub type Members = Vec<(String, Json)>;

/// JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// Members of an object, in the order of the input.
    Object(Members),
    /// Elements of an array.
    Array(Vec<Json>),
    /// String, number, boolean or null, as the text of the input.
    Scalar(String),
}

/// Splits valid JSON text in one pass.
struct Splitter<'a> {
    rest: &'a str,
}

impl<'a> Splitter<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Skips a punctuation mark; returns false if another character comes next.
    fn skip(&mut self, mark: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        let inner = || depth.checked_sub(1).ok_or(JsonError::TooDeep);
        if self.skip('{') {
            return self.members(inner()?).map(Json::Object);
        }
        if self.skip('[') {
            return self.items(inner()?).map(Json::Array);
        }
        let text = self.scalar();
        // The syntax check accepts half of a surrogate pair, which no string can hold.
        if text.starts_with('"') {
            serde_json::from_str::<Cow<'_, str>>(text)?;
        }
        Ok(Json::Scalar(text.to_owned()))
    }

    fn members(&mut self, depth: usize) -> Result<Members, JsonError> {
        let mut members = Vec::new();
        while !self.skip('}') {
            self.skip(',');
            self.skip_space();
            let key = serde_json::from_str(self.scalar())?;
            self.skip(':');
            members.push((key, self.value(depth)?));
        }
        Ok(members)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Json>, JsonError> {
        let mut items = Vec::new();
        while !self.skip(']') {
            self.skip(',');
            items.push(self.value(depth)?);
        }
        Ok(items)
    }

    fn scalar(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let end = if bytes.first() == Some(&b'"') {
            let mut escaped = false;
            let is_end = |byte: &u8| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            };
            bytes.iter().skip(1).position(is_end).map_or(bytes.len(), |quote| quote + 2)
        } else {
            let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
            bytes.iter().position(is_end).unwrap_or(bytes.len())
        };
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        text
    }
}

impl Json {
    /// Parses a text in time linear in its length.
    ///
    /// # Errors
    /// [`JsonError`] for text that is not JSON, contains half of a surrogate pair, or is nested too deeply.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        serde_json::from_str::<IgnoredAny>(text)?;
        Splitter { rest: text }.value(MAX_DEPTH)
    }

    /// Returns a key that occurs twice in one object, at any depth; `None` if the keys of every object are unique.
    pub fn repeated_key(&self) -> Option<&str> {
        match self {
            Self::Object(members) => repeated_key(members),
            Self::Array(items) => items.iter().find_map(Self::repeated_key),
            Self::Scalar(_) => None,
        }
    }

    /// Reports whether the value is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(text) if text == "null")
    }

    /// Returns the value of a string.
    pub fn as_string(&self) -> Option<String> {
        let Self::Scalar(text) = self else { return None };
        serde_json::from_str(text).ok()
    }

    /// Returns the value of a boolean; `None` for any other value.
    pub fn as_bool(&self) -> Option<bool> {
        let Self::Scalar(text) = self else { return None };
        text.parse().ok()
    }

    /// Returns the value of a non-negative whole number.
    pub fn as_u64(&self) -> Option<u64> {
        let Self::Scalar(text) = self else { return None };
        text.parse().ok()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(members) => write_members(members, f),
            Self::Array(items) => {
                f.write_str("[")?;
                for (position, item) in items.iter().enumerate() {
                    f.write_str(if position > 0 { "," } else { "" })?;
                    item.write(f)?;
                }
                f.write_str("]")
            }
            Self::Scalar(text) => f.write_str(text),
        }
    }
}

/// Writes compact JSON text.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

fn write_members(members: &Members, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("{")?;
    for (position, (key, value)) in members.iter().enumerate() {
        f.write_str(if position > 0 { "," } else { "" })?;
        f.write_str(&serde_json::to_string(key).map_err(|_| fmt::Error)?)?;
        f.write_str(":")?;
        value.write(f)?;
    }
    f.write_str("}")
}

fn repeated_key(members: &Members) -> Option<&str> {
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    let twice = keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    twice.or_else(|| members.iter().find_map(|(_, value)| value.repeated_key()))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn compact(text: &str) -> String {
        Json::parse(text).unwrap().to_string()
    }

    #[test]
    fn numbers_and_strings_stay_unchanged() {
        for text in [
            r#"{"a":12345678901234567890123,"b":1.10,"c":1e400,"d":-0,"e":0.1000000000000000055511151231257827}"#,
            r#"["A\u0041/\/é\ud83d\ude00",true,null,[],{}]"#,
            r#"{"$serde_json::private::Number":"1","$serde_json::private::RawValue":"2"}"#,
        ] {
            assert_eq!(compact(text), text);
        }
        assert_eq!(compact(" { \"a\" : [ 1 ,\n2 ] } "), r#"{"a":[1,2]}"#);
    }

    #[test]
    fn text_that_is_not_json_is_an_error() {
        for text in ["", "{", "{\"a\":01}", "\"\\ud800\"", "[\"\\udc00 \"]", "nan", "1 2", "{'a':1}"] {
            assert!(matches!(Json::parse(text), Err(JsonError::Syntax(_))), "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(compact(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        assert_eq!(Json::parse(&nested(MAX_DEPTH + 1)), Err(JsonError::TooDeep));
    }

    #[test]
    fn repeated_key_is_found_at_any_depth() {
        let repeated = |text| Json::parse(text).unwrap().repeated_key().map(str::to_owned);
        assert_eq!(repeated(r#"{"a":1,"b":{"a":1}}"#), None);
        assert_eq!(repeated(r#"{"a":1,"\u0061":2}"#).as_deref(), Some("a"));
        assert_eq!(repeated(r#"[0,{"b":[{"c":1,"c":1}]}]"#).as_deref(), Some("c"));
    }

    /// Generates JSON values without repeated keys.
    pub(in super::super) fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compact_text_parses_to_the_same_value(value in json()) {
            let text = value.to_string();
            prop_assert_eq!(compact(&text), text.clone());
            prop_assert_eq!(compact(&serde_json::to_string_pretty(&value).unwrap()), text);
        }
    }
}
