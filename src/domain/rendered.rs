//! Values that are read often, with their JSON.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde::{Serialize, Serializer, ser::Error};
use serde_json::value::{RawValue, to_raw_value};

use super::StreamView;

/// A value that does not change any more, shared by all who read it.
pub type Shared<T> = Arc<Rendered<T>>;

type Text = OnceLock<Box<RawValue>>;

/// A value whose JSON is made when it is first asked for, and once.
#[derive(Debug)]
pub struct Rendered<T> {
    value: T,
    document: Text,
    /// Of a view: see [`StreamView::state`].
    state: Text,
}

impl<T> Rendered<T> {
    /// The value, to be rendered when somebody asks.
    pub const fn new(value: T) -> Self {
        Self { value, document: OnceLock::new(), state: OnceLock::new() }
    }

    /// The value, to be shared.
    pub fn shared(value: T) -> Shared<T> {
        Arc::new(Self::new(value))
    }
}

impl<T> Deref for Rendered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl Rendered<StreamView> {
    /// As [`StreamView::state`].
    pub fn state(&self) -> impl Serialize + '_ {
        Once { text: &self.state, value: self.value.state() }
    }
}

impl<T: Serialize> Serialize for Rendered<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Once { text: &self.document, value: &self.value }.serialize(serializer)
    }
}

struct Once<'a, T> {
    text: &'a Text,
    value: T,
}

impl<T: Serialize> Serialize for Once<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.text.get() {
            return text.serialize(serializer);
        }
        let made = to_raw_value(&self.value).map_err(S::Error::custom)?;
        self.text.get_or_init(|| made).serialize(serializer)
    }
}
