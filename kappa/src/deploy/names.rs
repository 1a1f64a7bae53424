//! What a deployed program's parts are called, and by which tags Kappa knows its own.
//!
//! Guarantees that every name follows from the function's name and region alone: whoever comes after a killed deployment finds all that it made.

use std::collections::BTreeMap;
use std::fmt;

/// The tag that says that a thing is Kappa's: which version made it or took it over.
pub(crate) const DEPLOYED_BY: &str = "kappa:deployed-by";

/// The tag that says of which function a thing is a part.
pub(crate) const FUNCTION: &str = "kappa:function";

/// The tag that says which bucket and prefix the function uses.
pub(crate) const BUCKET: &str = "kappa:bucket";

/// The path in IAM of the roles that Kappa makes; whoever deploys needs no rights on other roles.
pub(crate) const ROLE_PATH: &str = "/kappa/";

/// The one inline policy of such a role.
pub(crate) const ROLE_POLICY: &str = "kappa";

/// The longest name of a role (IAM's quotas).
const LONGEST_ROLE: usize = 64;

/// The longest name of a function (Lambda's quotas).
const LONGEST_FUNCTION: usize = 64;

/// A function's name that Lambda takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionName(String);

impl FunctionName {
    /// Lambda's rule: letters, digits, `-` and `_`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        match text.len() {
            0 => Err("a function's name cannot be empty".to_string()),
            length if length > LONGEST_FUNCTION => Err(format!(
                "a function's name has at most {LONGEST_FUNCTION} characters; this one has {length}"
            )),
            _ if !text.chars().all(is_allowed) => {
                Err("a function's name has letters, digits, `-` and `_` alone, for example `word-count`".to_string())
            }
            _ => Ok(FunctionName(text.to_string())),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where Lambda writes what the function says.
    pub(crate) fn log_group(&self) -> String {
        format!("/aws/lambda/{}", self.0)
    }

    /// The role that Kappa makes for it. IAM knows no regions, so the name says which.
    pub(crate) fn role(&self, region: &str) -> String {
        format!("kappa-{}-{region}", self.0)
    }

    /// Why Kappa cannot make a role for it, if it cannot.
    pub(crate) fn role_trouble(&self, region: &str) -> Option<String> {
        let role = self.role(region);
        (role.len() > LONGEST_ROLE).then(|| {
            format!("the role would be called {role}, and IAM takes at most {LONGEST_ROLE} characters; choose a shorter name, or give --role ARN")
        })
    }

    /// What the keys of the packages begin with that are uploaded for it.
    pub(crate) fn uploads(&self, place: &Place) -> String {
        place.key(&format!("kappa-deploy/{}/", self.0))
    }
}

impl fmt::Display for FunctionName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A bucket, or what in it has keys with a prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    /// Without a slash at either end; empty for the whole bucket.
    pub(crate) prefix: String,
}

impl Place {
    /// Reads `BUCKET`, `BUCKET/PREFIX` or the same after `s3://`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("s3://").unwrap_or(text);
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_allowed) {
            return Err(format!(
                "`{bucket}` is not the name of a bucket (3 to 63 lower-case letters, digits, `-` and `.`); write BUCKET or BUCKET/PREFIX"
            ));
        }
        let prefix = prefix.trim_matches('/');
        // It goes into a policy, where these mean anything, and into a tag.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=+@:".contains(c);
        if prefix.len() > 150 || !prefix.chars().all(is_plain) {
            return Err(format!(
                "the prefix `{prefix}` is too long, or has other characters than letters, digits and -_./=+@:"
            ));
        }
        Ok(Place {
            bucket: bucket.to_string(),
            prefix: prefix.to_string(),
        })
    }

    /// A key in this place.
    pub(crate) fn key(&self, rest: &str) -> String {
        match self.prefix.as_str() {
            "" => rest.to_string(),
            prefix => format!("{prefix}/{rest}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.key_of_all())
    }
}

impl Place {
    fn key_of_all(&self) -> String {
        match self.prefix.as_str() {
            "" => self.bucket.clone(),
            prefix => format!("{}/{prefix}", self.bucket),
        }
    }
}

/// Tags by key.
pub(crate) type Tags = BTreeMap<String, String>;

/// The tags of every part of a function.
pub(crate) fn tags(name: &FunctionName, bucket: Option<&Place>) -> Tags {
    let mut tags = Tags::from([
        (DEPLOYED_BY.to_string(), format!("kappa {}", env!("CARGO_PKG_VERSION"))),
        (FUNCTION.to_string(), name.to_string()),
    ]);
    if let Some(place) = bucket {
        tags.insert(BUCKET.to_string(), place.to_string());
    }
    tags
}

/// Whether the tags are those of a thing of Kappa's.
pub(crate) fn is_ours(tags: &Tags) -> bool {
    tags.contains_key(DEPLOYED_BY)
}

/// The place that the tags name.
pub(crate) fn place_of(tags: &Tags) -> Option<Place> {
    Place::parse(tags.get(BUCKET)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_follows_from_the_functions_name_and_region() {
        let name = FunctionName::parse("word-count").unwrap();
        assert_eq!(name.log_group(), "/aws/lambda/word-count");
        assert_eq!(name.role("eu-north-1"), "kappa-word-count-eu-north-1");
        let place = Place::parse("s3://bucket/some/where/").unwrap();
        assert_eq!(name.uploads(&place), "some/where/kappa-deploy/word-count/");
        assert_eq!(
            name.uploads(&Place::parse("bucket").unwrap()),
            "kappa-deploy/word-count/"
        );
    }

    #[test]
    fn names_that_lambda_would_refuse_are_refused_with_the_rule() {
        for (text, reason) in [
            ("", "empty"),
            ("word count", "letters, digits"),
            ("a/b", "letters, digits"),
            (&"a".repeat(65), "at most 64"),
        ] {
            let message = FunctionName::parse(text).unwrap_err();
            assert!(message.contains(reason), "{text}: {message}");
        }
        let long = FunctionName::parse(&"a".repeat(60)).unwrap();
        assert!(long.role_trouble("eu-north-1").unwrap().contains("--role ARN"));
        assert_eq!(FunctionName::parse("fib").unwrap().role_trouble("ap-southeast-1"), None);
    }

    #[test]
    fn a_bucket_with_or_without_a_prefix_is_read_and_written_alike() {
        for text in ["bucket", "bucket/a/b", "my.bucket-7/x=1"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        for wrong in ["", "s3://", "B", "bucket_", "bucket/a*", "bucket/a b"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_say_whose_a_thing_is_and_where_it_has_put_something() {
        let name = FunctionName::parse("fib").unwrap();
        let place = Place::parse("bucket/a").unwrap();
        let tags = tags(&name, Some(&place));
        assert!(is_ours(&tags));
        assert_eq!(place_of(&tags), Some(place));
        assert!(!is_ours(&Tags::from([("kappa".into(), "yes".into())])));
    }
}
