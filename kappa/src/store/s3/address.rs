//! Where in S3: `s3://BUCKET[/PREFIX][?endpoint=URL]`.

use std::fmt;

/// What every such URL begins with.
pub(crate) const SCHEME: &str = "s3://";

/// How such a URL is written, for messages.
const FORM: &str = "`s3://BUCKET[/PREFIX][?endpoint=URL]`";

/// A bucket, what the names in it begin with, and where it is if not in AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// The bucket.
    pub(crate) bucket: String,
    /// Without a `/` at either end; may be empty.
    pub(crate) path: String,
    /// An S3 of somebody else's.
    pub(crate) endpoint: Option<String>,
    /// Somebody else has looked already whether it is there.
    pub(crate) is_worker: bool,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("`{url}` {what}; a place in S3 is named {FORM}"));
        let Some(rest) = url.strip_prefix(SCHEME) else {
            return wrong("does not begin with `s3://`");
        };
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, path) = place.split_once('/').unwrap_or((place, ""));
        if let Some(what) = fault_of_bucket(bucket) {
            return wrong(what);
        }
        let mut address = Address {
            bucket: bucket.to_string(),
            path: path.trim_end_matches('/').to_string(),
            endpoint: None,
            is_worker: false,
        };
        if address.path.starts_with('/') {
            return wrong("has two `/` after the bucket");
        }
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("endpoint", endpoint)) if endpoint.starts_with("http://") || endpoint.starts_with("https://") => {
                    address.endpoint = Some(endpoint.trim_end_matches('/').to_string());
                }
                Some(("endpoint", _)) => {
                    return wrong("has an endpoint that does not begin with `http://` or `https://`");
                }
                Some(("role", "worker")) => address.is_worker = true,
                _ => return wrong("has an option other than `endpoint=URL`"),
            }
        }
        Ok(address)
    }

    /// The same place, for a process that need not look whether it is there.
    pub(crate) fn for_workers(&self) -> String {
        let mark = if self.endpoint.is_some() { '&' } else { '?' };
        format!("{self}{mark}role=worker")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.bucket)?;
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(f, "?endpoint={endpoint}"),
            None => Ok(()),
        }
    }
}

/// The rules for names of buckets that a slip of the pen breaks; S3 says the rest.
fn fault_of_bucket(name: &str) -> Option<&'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    if name.is_empty() {
        Some("names no bucket")
    } else if name.len() < 3 || name.len() > 63 {
        Some("has a bucket whose name is not 3 to 63 characters long")
    } else if !name.bytes().all(is_allowed) {
        Some("has a bucket with a character other than lower-case letters, digits and `.-`")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_it_is_written() {
        for url in [
            "s3://bucket",
            "s3://my.bucket-7/a/b",
            "s3://bucket?endpoint=http://127.0.0.1:4566",
            "s3://bucket/p?endpoint=https://minio.example",
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), url);
            assert!(!address.is_worker);
            let worker = Address::parse(&address.for_workers()).unwrap();
            assert!(
                worker.is_worker && worker.to_string() == url,
                "{}",
                address.for_workers()
            );
        }
        let address = Address::parse("s3://bucket/a/b/").unwrap();
        assert_eq!((address.bucket.as_str(), address.path.as_str()), ("bucket", "a/b"));
    }

    #[test]
    fn a_url_that_names_no_place_is_refused_with_what_is_wrong() {
        for (url, what) in [
            ("s3://", "names no bucket"),
            ("s3:bucket", "does not begin"),
            ("s3://ab", "3 to 63"),
            ("s3://Bucket", "lower-case"),
            ("s3://a b c/x", "lower-case"),
            ("s3://bucket//x", "two `/`"),
            ("s3://bucket?endpoint=127.0.0.1:7", "does not begin with `http://`"),
            ("s3://bucket?region=x", "an option other than"),
        ] {
            let said = Address::parse(url).unwrap_err();
            assert!(said.contains(what) && said.contains("s3://BUCKET"), "{url}: {said}");
        }
    }
}
