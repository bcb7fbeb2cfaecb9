//! JSON that is kept digit for digit: numbers and strings stay the text that they were read from.
//!
//! `serde_json::Value` rounds numbers to 64-bit floats and keeps the last of two equal keys, so metadata that passes
//! through it may come back changed. Here `serde_json` checks the text, which is then split without any conversion.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::de::IgnoredAny;

/// The deepest nesting that is read; as deep as `serde_json` itself reads.
const MAX_DEPTH: usize = 127;

/// Why a text is not read.
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

/// The members of a JSON object in their order. Equal keys may follow each other.
pub type Members = Vec<(String, Json)>;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// An object.
    Object(Members),
    /// An array.
    Array(Vec<Json>),
    /// A string, number, boolean or null as it was written.
    Scalar(String),
}

/// Splits a text that is known to be JSON, in one pass.
struct Splitter<'a> {
    rest: &'a str,
}

impl<'a> Splitter<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes a punctuation mark if it comes next.
    fn takes(&mut self, mark: char) -> bool {
        self.skip_space();
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        let inner = || depth.checked_sub(1).ok_or(JsonError::TooDeep);
        if self.takes('{') {
            return self.members(inner()?).map(Json::Object);
        }
        if self.takes('[') {
            return self.items(inner()?).map(Json::Array);
        }
        let text = self.scalar();
        // A raw string may hold half of a surrogate pair, which is no text.
        if text.starts_with('"') {
            serde_json::from_str::<Cow<'_, str>>(text)?;
        }
        Ok(Json::Scalar(text.to_owned()))
    }

    fn members(&mut self, depth: usize) -> Result<Members, JsonError> {
        let mut members = Vec::new();
        while !self.takes('}') {
            self.takes(',');
            self.skip_space();
            let key = serde_json::from_str(self.scalar())?;
            self.takes(':');
            members.push((key, self.value(depth)?));
        }
        Ok(members)
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Json>, JsonError> {
        let mut items = Vec::new();
        while !self.takes(']') {
            self.takes(',');
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
    /// Reads a text, in time that grows with its length alone.
    ///
    /// # Errors
    /// [`JsonError`] for a text that is not JSON, holds half of a surrogate pair, or is nested too deeply.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        serde_json::from_str::<IgnoredAny>(text)?;
        Splitter { rest: text }.value(MAX_DEPTH)
    }

    /// The first key that an object has twice, at any depth.
    pub fn repeated_key(&self) -> Option<&str> {
        match self {
            Self::Object(members) => repeated_key(members),
            Self::Array(items) => items.iter().find_map(Self::repeated_key),
            Self::Scalar(_) => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Scalar(text) if text == "null")
    }

    /// The string that it is.
    pub fn as_string(&self) -> Option<String> {
        let Self::Scalar(text) = self else { return None };
        serde_json::from_str(text).ok()
    }

    /// The whole number that it is.
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

/// Changes `target` by a JSON Merge Patch (RFC 7396): members that are null are removed, objects are merged, anything
/// else replaces. Members keep their place; new ones come last. Neither may have a key twice.
pub fn merge(target: Members, patch: &Members) -> Members {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut members: Vec<Option<(String, Json)>> = Vec::with_capacity(target.len());
    for (place, (key, value)) in target.into_iter().enumerate() {
        places.insert(key.clone(), place);
        members.push(Some((key, value)));
    }
    for (key, change) in patch {
        let place = places.get(key).copied();
        let known = place.and_then(|place| members.get_mut(place)?.take()).map(|(_, value)| value);
        let Some(value) = changed(known, change) else { continue };
        let member = Some((key.clone(), value));
        match place.and_then(|place| members.get_mut(place)) {
            Some(slot) => *slot = member,
            None => members.push(member),
        }
    }
    members.into_iter().flatten().collect()
}

/// The value of a member after a patch; none where the patch removes it.
fn changed(known: Option<Json>, change: &Json) -> Option<Json> {
    match (known, change) {
        (_, change) if change.is_null() => None,
        (Some(Json::Object(members)), Json::Object(inner)) => Some(Json::Object(merge(members, inner))),
        (_, Json::Object(inner)) => Some(Json::Object(merge(Vec::new(), inner))),
        (_, other) => Some(other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn compact(text: &str) -> String {
        Json::parse(text).unwrap().to_string()
    }

    #[test]
    fn numbers_and_strings_stay_as_written() {
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

    fn json() -> impl Strategy<Value = Value> {
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

    /// RFC 7396, section 2, on `serde_json` values: what [`merge`] is compared with.
    fn merged(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut members = target.as_object().cloned().unwrap_or_default();
        for (key, change) in patch {
            if change.is_null() {
                members.remove(key);
            } else {
                let known = members.get(key).cloned().unwrap_or_default();
                members.insert(key.clone(), merged(&known, change));
            }
        }
        Value::Object(members)
    }

    proptest! {
        #[test]
        fn compact_text_reads_back_as_the_same_value(value in json()) {
            let text = value.to_string();
            prop_assert_eq!(compact(&text), text.clone());
            prop_assert_eq!(compact(&serde_json::to_string_pretty(&value).unwrap()), text);
        }

        #[test]
        fn merge_does_what_the_rfc_says(target in json(), patch in json()) {
            let (Ok(Json::Object(members)), Ok(Json::Object(change))) =
                (Json::parse(&target.to_string()), Json::parse(&patch.to_string())) else { return Ok(()) };
            let text = Json::Object(merge(members, &change)).to_string();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), merged(&target, &patch));
        }
    }
}
