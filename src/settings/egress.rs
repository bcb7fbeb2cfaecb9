//! Settings of recordings and broadcasts: where their files go, and under which address they are served.

use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::reader::Reader;
use crate::media::{PublicUrl, Storage};

pub(super) const URL: &str = "EGRESS_STORAGE_URL";
pub(super) const ENDPOINT: &str = "EGRESS_STORAGE_ENDPOINT";
pub(super) const REGION: &str = "EGRESS_STORAGE_REGION";
pub(super) const ACCESS_KEY: &str = "EGRESS_STORAGE_ACCESS_KEY";
pub(super) const SECRET: &str = "EGRESS_STORAGE_SECRET";
const PUBLIC_URL: &str = "EGRESS_PUBLIC_URL";
const START_TIMEOUT: &str = "EGRESS_START_TIMEOUT";

/// Recordings and broadcasts.
#[derive(Clone, Debug)]
pub struct EgressSettings {
    /// Storage of files; without one there are neither recordings nor HLS.
    pub storage: Option<Storage>,
    /// Address under which the files are served.
    pub public_url: Option<PublicUrl>,
    /// Time after which an egress that LiveKit still calls starting has failed.
    pub start_timeout: Duration,
}

/// Recordings and broadcasts as given, not yet parsed. The doc comments are the texts of `--help`.
#[derive(Clone, Debug, Default, Args)]
pub struct EgressArguments {
    /// Storage of recordings and HLS: file:///folder (of the egress program), s3://bucket/prefix, gs://bucket/prefix or
    /// azure://container/prefix [default: none, neither recordings nor HLS]
    #[arg(long, env = "EGRESS_STORAGE_URL", hide_env_values = true)]
    pub egress_storage_url: Option<String>,
    /// For s3: address of a compatible store, http or https [default: none, Amazon S3]
    #[arg(long, env = "EGRESS_STORAGE_ENDPOINT", hide_env_values = true)]
    pub egress_storage_endpoint: Option<String>,
    /// For s3: region [default: that of the egress program]
    #[arg(long, env = "EGRESS_STORAGE_REGION")]
    pub egress_storage_region: Option<String>,
    /// For s3: access key; for azure: name of the account [default: for s3 the credentials of the egress program]
    #[arg(long, env = "EGRESS_STORAGE_ACCESS_KEY", hide_env_values = true)]
    pub egress_storage_access_key: Option<String>,
    /// For s3 and azure: secret of EGRESS_STORAGE_ACCESS_KEY; for gs: JSON of a service account [default: for gs the
    /// credentials of the egress program]. Preferably set as an environment variable
    #[arg(long, env = "EGRESS_STORAGE_SECRET", hide_env_values = true)]
    pub egress_storage_secret: Option<SecretString>,
    /// Address at which the folder of EGRESS_STORAGE_URL is served, by a CDN for example: http or https [default: none]
    #[arg(long, env = "EGRESS_PUBLIC_URL", hide_env_values = true)]
    pub egress_public_url: Option<String>,
    /// Time after which a recording or broadcast that does not leave `starting` has failed [default: 60s]
    #[arg(long, env = "EGRESS_START_TIMEOUT")]
    pub egress_start_timeout: Option<String>,
}

impl EgressArguments {
    /// Unsets empty variables.
    pub(super) fn drop_empty(&mut self) {
        for text in [
            &mut self.egress_storage_url,
            &mut self.egress_storage_endpoint,
            &mut self.egress_storage_region,
            &mut self.egress_storage_access_key,
            &mut self.egress_public_url,
            &mut self.egress_start_timeout,
        ] {
            text.take_if(|text| text.is_empty());
        }
        self.egress_storage_secret.take_if(|secret| secret.expose_secret().is_empty());
    }

    pub(super) fn validate(&self, reader: &mut Reader) -> EgressSettings {
        let timeout = self.egress_start_timeout.as_ref();
        EgressSettings {
            storage: self.parse_storage(reader),
            public_url: self.public_url(reader),
            start_timeout: reader.duration(START_TIMEOUT, timeout, Duration::from_secs(60)),
        }
    }

    fn public_url(&self, reader: &mut Reader) -> Option<PublicUrl> {
        let text = self.egress_public_url.as_ref()?;
        if self.egress_storage_url.is_none() {
            return reader.problem(PUBLIC_URL, "needs EGRESS_STORAGE_URL");
        }
        web_url(PUBLIC_URL, text, reader).map(|url| PublicUrl::new(&url))
    }
}

/// Reports whether an address has no more than a scheme, a host, a port and a path.
pub(super) fn is_plain(url: &Url) -> bool {
    let has_user = !url.username().is_empty() || url.password().is_some();
    !has_user && url.query().is_none() && url.fragment().is_none()
}

pub(super) fn web_url(setting: &str, text: &str, reader: &mut Reader) -> Option<Url> {
    let is_valid = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host() && is_plain(url);
    let url = Url::parse(text).ok().filter(is_valid);
    url.or_else(|| {
        reader.problem(setting, "must be a URL with http or https, without user, query and fragment")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::MediaPath,
        media::StorageBackend,
        settings::{Arguments, Settings},
    };

    fn validate(egress: EgressArguments) -> Result<Settings, Vec<String>> {
        Arguments { dev: true, egress, ..Arguments::default() }.validate().map_err(|error| error.0)
    }

    fn of(url: &str) -> EgressArguments {
        EgressArguments { egress_storage_url: Some(url.to_owned()), ..EgressArguments::default() }
    }

    fn with_secret(url: &str, key: Option<&str>, secret: Option<&str>) -> EgressArguments {
        EgressArguments {
            egress_storage_access_key: key.map(str::to_owned),
            egress_storage_secret: secret.map(SecretString::from),
            ..of(url)
        }
    }

    fn path_in(url: &str) -> String {
        let storage = validate(of(url)).unwrap().egress.storage.unwrap();
        storage.prefix().absolute(&MediaPath::reported("a.mp4".to_owned()))
    }

    #[test]
    fn nothing_is_stored_by_default() {
        let egress = validate(EgressArguments::default()).unwrap().egress;
        assert!(egress.storage.is_none() && egress.public_url.is_none());
        assert_eq!(egress.start_timeout, Duration::from_secs(60));
    }

    #[test]
    fn address_names_the_folder_of_all_files() {
        for (url, path) in [
            ("s3://bucket", "a.mp4"),
            ("s3://bucket/", "a.mp4"),
            ("s3://bucket/one/t%20wo/", "one/t wo/a.mp4"),
            ("gs://bucket_1/x", "x/a.mp4"),
            ("file:///out", "/out/a.mp4"),
        ] {
            assert_eq!(path_in(url), path, "{url}");
        }
    }

    #[test]
    fn backends_take_their_credentials() {
        let s3 = validate(with_secret("s3://bucket", Some("key"), Some("unique-secret"))).unwrap();
        assert!(!format!("{s3:?}").contains("unique-secret"));
        let storage = s3.egress.storage.unwrap();
        assert!(matches!(storage.backend, StorageBackend::S3 { credentials: Some(_), endpoint: None, .. }));
        let azure = validate(with_secret("azure://box/a", Some("account"), Some("key"))).unwrap();
        assert!(matches!(azure.egress.storage.unwrap().backend, StorageBackend::Azure { .. }));
        let gcs =
            validate(with_secret("gs://bucket", None, Some("{\"type\": \"service_account\"}"))).unwrap();
        assert!(matches!(
            gcs.egress.storage.unwrap().backend,
            StorageBackend::Gcs { credentials: Some(_), .. }
        ));
    }

    #[test]
    fn fault_names_the_setting_and_shows_no_secret() {
        for (arguments, named) in [
            (of("/out"), URL),
            (of("https://bucket/prefix"), URL),
            (of("file://host/out"), URL),
            (of("file:///"), URL),
            (of("s3://"), URL),
            (of("s3://key:hunter2@bucket/a"), URL),
            (of("s3://bucket/a?versionId=1"), URL),
            (of("s3://bucket/a/../b"), URL),
            (of("s3://bucket/a//b"), URL),
            (of("s3://bucket/{time}"), URL),
            (with_secret("s3://bucket", Some("key"), None), SECRET),
            (with_secret("s3://bucket", None, Some("hunter2")), ACCESS_KEY),
            (with_secret("gs://bucket", None, Some("hunter2")), SECRET),
            (with_secret("gs://bucket", Some("key"), None), ACCESS_KEY),
            (with_secret("azure://box", None, Some("hunter2")), ACCESS_KEY),
            (with_secret("file:///out", None, Some("hunter2")), SECRET),
            (
                EgressArguments { egress_storage_endpoint: Some("store:7070".into()), ..of("s3://b") },
                ENDPOINT,
            ),
            (
                EgressArguments { egress_public_url: Some("cdn.example.com".into()), ..of("s3://b") },
                PUBLIC_URL,
            ),
            (
                EgressArguments { egress_public_url: Some("https://a".into()), ..Default::default() },
                PUBLIC_URL,
            ),
            (EgressArguments { egress_storage_region: Some("eu".into()), ..Default::default() }, REGION),
            (EgressArguments { egress_start_timeout: Some("0".into()), ..Default::default() }, START_TIMEOUT),
        ] {
            let problems = validate(arguments.clone()).unwrap_err();
            assert_eq!(problems.len(), 1, "{arguments:?}: {problems:?}");
            assert!(problems[0].starts_with(&format!("{named} ")), "{arguments:?}: {problems:?}");
            assert!(!problems[0].contains("hunter2"));
        }
    }
}
