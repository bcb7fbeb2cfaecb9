//! Storage of recordings and HLS, as the use cases know it.

use crate::{
    domain::{MediaPath, StoragePrefix},
    media::{PublicUrl, Storage},
};

/// Storage of recordings and HLS.
#[derive(Clone, Debug)]
pub struct MediaStorage {
    /// Folder of all files, with which LiveKit's reports begin their paths.
    prefix: StoragePrefix,
    /// Address under which the files are served.
    public_url: Option<PublicUrl>,
}

impl MediaStorage {
    /// Makes the view of a storage, whose files are served under an address.
    pub fn new(storage: &Storage, public_url: Option<PublicUrl>) -> Self {
        Self { prefix: storage.prefix().clone(), public_url }
    }

    /// Returns the folder of all files.
    pub(super) const fn prefix(&self) -> &StoragePrefix {
        &self.prefix
    }

    /// Returns the public address of a file.
    pub(super) fn public_url(&self, path: &MediaPath) -> Option<String> {
        self.public_url.as_ref().map(|public| public.of(path))
    }
}
