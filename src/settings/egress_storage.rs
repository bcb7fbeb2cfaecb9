//! Storage of recordings and HLS: one of four kinds, with its credentials.

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    egress::{ACCESS_KEY, ENDPOINT, EgressArguments, REGION, SECRET, URL, is_plain, web_url},
    reader::Reader,
};
use crate::{
    domain::StoragePrefix,
    media::{Storage, StorageBackend},
};

/// Maximum length of the folder, in bytes. With the paths of requests it is below S3's limit of 1,024.
const MAX_PREFIX_BYTES: usize = 256;

impl EgressArguments {
    pub(super) fn parse_storage(&self, reader: &mut Reader) -> Option<Storage> {
        let Some(text) = &self.egress_storage_url else {
            self.refuse(reader, &[ENDPOINT, REGION, ACCESS_KEY, SECRET], "needs EGRESS_STORAGE_URL");
            return None;
        };
        let rule =
            "must be file:///folder, s3://bucket/prefix, gs://bucket/prefix or azure://container/prefix";
        let Some((url, folder)) = parse(text) else { return reader.problem(URL, rule) };
        let name = url.host_str().unwrap_or_default().to_owned();
        let backend = match (url.scheme(), name.is_empty()) {
            ("file", true) => self.worker(&folder, reader),
            ("s3", false) => self.s3(name, reader),
            ("gs", false) => self.gcs(name, reader),
            ("azure", false) => self.azure(name, reader),
            _ => reader.problem(URL, rule),
        };
        let is_absolute = url.scheme() == "file";
        let prefix = StoragePrefix::of(if is_absolute { &folder } else { folder.trim_start_matches('/') });
        Some(Storage { backend: backend?, prefix })
    }

    fn worker(&self, folder: &str, reader: &mut Reader) -> Option<StorageBackend> {
        if folder.trim_matches('/').is_empty() {
            return reader.problem(URL, "must name a folder below /");
        }
        self.refuse(reader, &[ENDPOINT, REGION, ACCESS_KEY, SECRET], "has no meaning for file://");
        Some(StorageBackend::Worker)
    }

    fn s3(&self, bucket: String, reader: &mut Reader) -> Option<StorageBackend> {
        let endpoint = self.egress_storage_endpoint.as_ref();
        let endpoint =
            endpoint.map(|text| web_url(ENDPOINT, text, reader)).map(|url| url.map(|url| trimmed(&url)));
        let credentials = match (&self.egress_storage_access_key, &self.egress_storage_secret) {
            (Some(key), Some(secret)) => Some((key.clone(), secret.clone())),
            (None, None) => None,
            (Some(_), None) => return reader.problem(SECRET, "is required with EGRESS_STORAGE_ACCESS_KEY"),
            (None, Some(_)) => return reader.problem(ACCESS_KEY, "is required with EGRESS_STORAGE_SECRET"),
        };
        let endpoint = match endpoint {
            Some(endpoint) => Some(endpoint?),
            None => None,
        };
        Some(StorageBackend::S3 { bucket, endpoint, region: self.egress_storage_region.clone(), credentials })
    }

    fn gcs(&self, bucket: String, reader: &mut Reader) -> Option<StorageBackend> {
        self.refuse(reader, &[ENDPOINT, REGION, ACCESS_KEY], "has no meaning for gs://");
        let credentials = self.egress_storage_secret.clone();
        let is_object = |json: &SecretString| {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json.expose_secret()).is_ok()
        };
        if !credentials.as_ref().is_none_or(is_object) {
            return reader.problem(SECRET, "must be the JSON of a service account for gs://");
        }
        Some(StorageBackend::Gcs { bucket, credentials })
    }

    fn azure(&self, container: String, reader: &mut Reader) -> Option<StorageBackend> {
        self.refuse(reader, &[ENDPOINT, REGION], "has no meaning for azure://");
        let account = reader.required(ACCESS_KEY, self.egress_storage_access_key.clone());
        let key = reader.required(SECRET, self.egress_storage_secret.clone());
        Some(StorageBackend::Azure { container, account: account?, key: key? })
    }

    /// Records a problem of each of these settings that is given.
    fn refuse(&self, reader: &mut Reader, settings: &[&str], rule: &str) {
        let given = [
            (ENDPOINT, self.egress_storage_endpoint.is_some()),
            (REGION, self.egress_storage_region.is_some()),
            (ACCESS_KEY, self.egress_storage_access_key.is_some()),
            (SECRET, self.egress_storage_secret.is_some()),
        ];
        for (setting, _) in given.iter().filter(|(setting, is_given)| *is_given && settings.contains(setting))
        {
            reader.problem::<()>(setting, rule);
        }
    }
}

/// Parses the address of a storage; returns it with its decoded path.
fn parse(text: &str) -> Option<(Url, String)> {
    // The parser resolves `..`, and a path that is meant so is a mistake.
    let has_dots = text.split('/').any(|part| part == "." || part == "..");
    let url = Url::parse(text).ok().filter(|url| !has_dots && is_plain(url) && url.port().is_none())?;
    let path = percent_decode_str(url.path()).decode_utf8().ok()?.into_owned();
    let path = path.trim_end_matches('/').to_owned();
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    // LiveKit's egress replaces what is in braces, and drops empty parts.
    let is_printable = |char: char| !char.is_control() && !['{', '}', '\\'].contains(&char);
    let is_valid = path.chars().all(is_printable) && path.split('/').skip(1).all(is_name);
    (is_valid && path.len() <= MAX_PREFIX_BYTES).then_some((url, path))
}

fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}
