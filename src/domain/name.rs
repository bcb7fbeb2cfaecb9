//! Parsing of enums from the names that JSON and queries use for their values.

/// The text is not the name of any value of the enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a known name")]
pub struct UnknownName;

/// Returns the value whose name is `text`. The case of letters matters.
pub(super) fn find<T: Copy>(
    values: &[T],
    name: impl Fn(T) -> &'static str,
    text: &str,
) -> Result<T, UnknownName> {
    values.iter().copied().find(|value| name(*value) == text).ok_or(UnknownName)
}

/// Returns the value whose name is `text`, in any case of letters.
pub(super) fn find_in_any_case<T: Copy>(
    values: &[T],
    name: impl Fn(T) -> &'static str,
    text: &str,
) -> Result<T, UnknownName> {
    values.iter().copied().find(|value| name(*value).eq_ignore_ascii_case(text)).ok_or(UnknownName)
}
