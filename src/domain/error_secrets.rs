//! Secrets of a media job that LiveKit's error texts about it may quote, also without the address that they belong to.

use url::Url;

use super::rtmp_address::mask_addresses;

/// What is shown in place of a secret.
const MASK: &str = "***";

/// Maximum length of an error text of LiveKit, in characters.
const MAX_ERROR_CHARS: usize = 256;

/// Minimum length of a secret in bytes. A shorter one cannot be told from other words: the key `live` would mask
/// "delivery" too.
const MIN_BYTES: usize = 6;

/// Secret as LiveKit's message about the job has it.
enum Secret {
    /// The whole text.
    Whole(String),
    /// Begin and end of a stream key, whose middle LiveKit has left out.
    Ends(String, String),
}

/// Secrets of a media job.
///
/// An error text without its address is masked where LiveKit's message has the secret as well: the key of an ingress,
/// the password, query and key of an address. LiveKit leaves the middle of a target's key out (`{fir...key}`), so a
/// word that begins and ends like the key is masked. Two keys stay as they are: one of fewer than 6 bytes, of which
/// LiveKit shows a character at each end or none; and one that LiveKit has shortened together with the query behind it
/// (`{fir...456}` for `first-key?x=123456`), if the text quotes it without that query.
#[derive(Default)]
pub struct ErrorSecrets(Vec<Secret>);

impl ErrorSecrets {
    /// Returns the secrets of RTMP targets, from their whole or shortened addresses.
    pub fn of_targets<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Self {
        Self(addresses.into_iter().flat_map(of_target).collect())
    }

    /// Returns the secrets of an ingress: its stream key, and the password and the query of the address that LiveKit
    /// pulls.
    pub fn of_ingress(stream_key: &str, address: &str) -> Self {
        let password = password(address);
        let texts = password.as_deref().into_iter().chain(of_query(address)).chain([stream_key]);
        Self(texts.filter_map(whole).collect())
    }

    /// Returns an error text of LiveKit without these secrets, with masked addresses and shortened; `None` for the
    /// empty text.
    pub fn mask(&self, text: &str) -> Option<String> {
        let masked = self.0.iter().fold(mask_addresses(text), |text, secret| secret.mask(&text));
        Some(masked.chars().take(MAX_ERROR_CHARS).collect()).filter(|text: &String| !text.is_empty())
    }
}

impl Secret {
    fn mask(&self, text: &str) -> String {
        match self {
            Self::Whole(secret) => text.replace(secret, MASK),
            Self::Ends(begin, end) => {
                text.split_inclusive(char::is_whitespace).map(|word| mask_between(word, begin, end)).collect()
            }
        }
    }
}

/// Masks from the first `begin` to the last `end` after it.
fn mask_between(word: &str, begin: &str, end: &str) -> String {
    let masked = || {
        let (before, rest) = word.split_once(begin)?;
        let (_, after) = rest.rsplit_once(end)?;
        Some(format!("{before}{MASK}{after}"))
    };
    masked().unwrap_or_else(|| word.to_owned())
}

fn whole(text: &str) -> Option<Secret> {
    (text.len() >= MIN_BYTES).then(|| Secret::Whole(text.to_owned()))
}

/// Returns the query of an address, and the values in it. The whole comes first, because its values are in it.
fn of_query(address: &str) -> impl Iterator<Item = &str> {
    let query = address.split_once('?').map(|(_, query)| query);
    let values = query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
    query.into_iter().chain(values.map(|(_, value)| value))
}

fn password(address: &str) -> Option<String> {
    Url::parse(address).ok()?.password().map(str::to_owned)
}

fn of_target(address: &str) -> Vec<Secret> {
    let (before, last) = address.rsplit_once('/').unwrap_or(("", address));
    let shortened = last.strip_prefix('{').and_then(|key| key.strip_suffix('}')?.split_once("..."));
    let known = if shortened.is_some() { before } else { address };
    // Of a query with a `/`, LiveKit leaves out only what is behind that.
    let has_key = shortened.is_none() || known.contains('?');
    let path = known.split_once('?').map_or(known, |(path, _)| path);
    let key = path.rsplit('/').next().filter(|_| has_key);
    let texts = password(known);
    let texts = texts.as_deref().into_iter().chain(of_query(known)).chain(key).filter_map(whole);
    texts.chain(shortened.and_then(|(begin, end)| ends(begin, end))).collect()
}

/// LiveKit shows a third of a key at each end, at most 3 characters: 2 of a key of [`MIN_BYTES`].
fn ends(begin: &str, end: &str) -> Option<Secret> {
    (begin.len() >= 2 && end.len() >= 2).then(|| Secret::Ends(begin.to_owned(), end.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(addresses: &[&str], text: &str) -> String {
        ErrorSecrets::of_targets(addresses.iter().copied()).mask(text).unwrap()
    }

    #[test]
    fn key_of_a_target_is_masked_without_its_address() {
        for address in ["rtmp://a.example/app/first-key", "rtmp://u:pass@a.example/app/{fir...key}"] {
            for (text, masked) in [
                ("stream 'first-key' is in use, first-key.", "stream '***' is in use, ***."),
                ("BadName:app/first-key\nfirst-key", "BadName:app/***\n***"),
                ("no connection to a.example", "no connection to a.example"),
                ("rtmp://a.example/app/first-key: first-key", "rtmp://a.example/app/***: ***"),
                ("the first one has no key", "the first one has no key"),
            ] {
                assert_eq!(mask(&[address], text), masked, "{address}");
            }
        }
        let both = ["rtmp://a.example/app/{fir...key}", "rtmp://b.example/app/{sec...one}"];
        assert_eq!(mask(&both, "second-one after first-key"), "*** after ***");
    }

    #[test]
    fn password_and_query_of_a_target_are_masked() {
        let address = "rtmp://bob:pass-word@a.example/app/first-key?token=a-third-key&x=1";
        assert_eq!(mask(&[address], "first-key?token=a-third-key&x=1 refused"), "***?*** refused");
        assert_eq!(mask(&[address], "bad token a-third-key of bob:pass-word"), "bad token *** of bob:***");
        let shortened = "rtmp://bob:pass-word@a.example/app/{fir...x=1}";
        assert_eq!(mask(&[shortened], "bob:pass-word has no first-key?x=1"), "bob:*** has no ***");
    }

    /// A key with a query is masked with it, as RTMP servers quote it.
    #[test]
    fn shortened_key_with_its_query_is_masked_as_one() {
        let address = "rtmp://a.example/app/{fir...456}";
        assert_eq!(mask(&[address], "denied: first-key?x=123456!"), "denied: ***!");
    }

    #[test]
    fn key_before_a_query_that_livekit_has_shortened_alone_is_masked() {
        let address = "rtmp://a.example/app/first-key?next=/{...}";
        assert_eq!(mask(&[address], "first-key is in use"), "*** is in use");
    }

    #[test]
    fn short_keys_do_not_mask_other_words() {
        for address in
            ["rtmp://a.example/app/{l...e}", "rtmp://a.example/app/{...}", "rtmp://a.example/app/live"]
        {
            assert_eq!(
                mask(&[address], "live delivery failed: lease"),
                "live delivery failed: lease",
                "{address}"
            );
        }
    }

    #[test]
    fn secrets_of_an_ingress_are_masked() {
        let secrets =
            ErrorSecrets::of_ingress("unique-key", "https://bob:pass-word@a.example/x.mp4?key=signature");
        let text = "401 for pass-word, signature; stream unique-key; x.mp4";
        assert_eq!(secrets.mask(text).unwrap(), "401 for ***, ***; stream ***; x.mp4");
        assert_eq!(secrets.mask(""), None);
    }

    /// A secret at the end of what is shown is not cut into a part that would not be recognised.
    #[test]
    fn text_is_masked_before_it_is_shortened() {
        let text = format!("{} first-key", "x".repeat(MAX_ERROR_CHARS - 4));
        let masked = mask(&["rtmp://a.example/app/{fir...key}"], &text);
        assert!(masked.ends_with(" ***") && masked.chars().count() == MAX_ERROR_CHARS, "{masked}");
    }
}
