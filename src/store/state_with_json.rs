//! States together with their JSON text, which is rendered once for all readers.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
};

use serde::{Serialize, Serializer, ser::Error};
use serde_json::value::{RawValue, to_raw_value};

use crate::domain::StreamView;

/// Immutable state that all of its readers share.
pub type SharedState<T> = Arc<StateWithJson<T>>;

type Text = OnceLock<Box<RawValue>>;

/// State with a cache slot for its JSON text. The first serialization fills the slot.
#[derive(Debug)]
pub struct StateWithJson<T> {
    value: T,
    document: Text,
    /// JSON text of [`StreamView::state`], for views.
    state: Text,
}

impl<T> StateWithJson<T> {
    /// Wraps a value whose JSON is not rendered yet.
    pub const fn new(value: T) -> Self {
        Self { value, document: OnceLock::new(), state: OnceLock::new() }
    }

    /// Wraps a value for several readers.
    pub fn shared(value: T) -> SharedState<T> {
        Arc::new(Self::new(value))
    }
}

impl<T> Deref for StateWithJson<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl StateWithJson<StreamView> {
    /// Returns [`StreamView::state`], serialized from the cache slot.
    pub fn state(&self) -> impl Serialize + '_ {
        CachedText { text: &self.state, value: self.value.state() }
    }
}

impl<T: Serialize> Serialize for StateWithJson<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        CachedText { text: &self.document, value: &self.value }.serialize(serializer)
    }
}

struct CachedText<'a, T> {
    text: &'a Text,
    value: T,
}

impl<T: Serialize> Serialize for CachedText<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(text) = self.text.get() {
            return text.serialize(serializer);
        }
        let rendered = to_raw_value(&self.value).map_err(S::Error::custom)?;
        self.text.get_or_init(|| rendered).serialize(serializer)
    }
}
