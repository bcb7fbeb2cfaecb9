//! Storage of recorded files: which one it is, and under which public addresses its files are served.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use url::Url;

use crate::domain::{MediaPath, StoragePrefix};

/// Characters of a path that are kept in URLs: the unreserved ones of RFC 3986, and `/`.
const NOT_IN_PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Where LiveKit's egress program writes files.
#[derive(Clone, Debug)]
pub struct Storage {
    /// Kind of storage, with its credentials.
    pub backend: StorageBackend,
    /// Folder of all files.
    pub prefix: StoragePrefix,
}

impl Storage {
    /// Returns the folder of all files.
    pub const fn prefix(&self) -> &StoragePrefix {
        &self.prefix
    }
}

/// Kind of storage.
#[derive(Clone, Debug)]
pub enum StorageBackend {
    /// The egress program's own disk, or the storage of its own configuration.
    Worker,
    /// S3, or a compatible store.
    S3 {
        /// Bucket.
        bucket: String,
        /// Address of a compatible store; `None` for Amazon's.
        endpoint: Option<String>,
        /// Region; `None` for the egress program's default.
        region: Option<String>,
        /// Access key and secret; `None` for the credentials of the egress program's machine.
        credentials: Option<(String, SecretString)>,
    },
    /// Google Cloud Storage.
    Gcs {
        /// Bucket.
        bucket: String,
        /// JSON of a service account; `None` for the credentials of the egress program's machine.
        credentials: Option<SecretString>,
    },
    /// Azure Blob Storage.
    Azure {
        /// Container.
        container: String,
        /// Name of the storage account.
        account: String,
        /// Key of the storage account.
        key: SecretString,
    },
}

/// Address under which the files of the storage are served, by a CDN for example.
#[derive(Clone, Debug)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Takes the address of the storage's prefix; without the `/` at its end.
    pub fn new(url: &Url) -> Self {
        Self(url.as_str().trim_end_matches('/').to_owned())
    }

    /// Returns the address of a file.
    pub fn of(&self, path: &MediaPath) -> String {
        format!("{}/{}", self.0, utf8_percent_encode(path.as_str(), NOT_IN_PATH))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_address_of_a_file_is_percent_encoded() {
        let public = PublicUrl::new(&"https://cdn.example.com/live/".parse().unwrap());
        let path = MediaPath::reported("a b/é?#%2e_1.m3u8".to_owned());
        assert_eq!(public.of(&path), "https://cdn.example.com/live/a%20b/%C3%A9%3F%23%252e_1.m3u8");
    }
}
