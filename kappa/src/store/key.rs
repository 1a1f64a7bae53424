//! What a key may look like, the same for every store.

use super::StoreError;

/// Longest segment of a key in bytes; every file system takes it.
const SEGMENT_LIMIT: usize = 200;

/// Longest key in bytes.
const KEY_LIMIT: usize = 1000;

/// Checks a key: `/`-separated segments of `[A-Za-z0-9._-]`, none of them `.` or `..` or longer than 200 bytes, at most 1000 bytes in all.
///
/// # Errors
/// [`StoreError::Invalid`] with what is wrong.
pub fn check(key: &str) -> Result<(), StoreError> {
    let invalid = |what: &str| Err(StoreError::Invalid(format!("key {:?} {what}", shortened(key))));
    if key.is_empty() {
        return invalid("is empty");
    }
    if key.len() > KEY_LIMIT {
        return invalid("is longer than 1000 bytes");
    }
    for segment in key.split('/') {
        if segment.is_empty() {
            return invalid("has an empty segment: it may not begin or end with `/`, nor have two in a row");
        }
        if segment == "." || segment == ".." {
            return invalid("has the segment `.` or `..`");
        }
        if segment.len() > SEGMENT_LIMIT {
            return invalid("has a segment longer than 200 bytes");
        }
        if !segment
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        {
            return invalid("has a character other than letters, digits and `._-/`");
        }
    }
    Ok(())
}

/// Whether the key begins with all segments of the prefix.
pub(super) fn has_prefix(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn shortened(key: &str) -> String {
    if key.chars().count() <= 100 {
        key.to_string()
    } else {
        key.chars().take(100).chain("...".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_lead_out_of_the_store_are_refused() {
        for key in [
            "",
            "/",
            "/etc/passwd",
            "a/../b",
            "..",
            "a//b",
            "a/",
            "a b",
            "a\0b",
            "ä",
            "a\\b",
            "C:x",
        ] {
            assert!(matches!(check(key), Err(StoreError::Invalid(_))), "{key:?} was taken");
        }
        assert!(check(&"x".repeat(201)).is_err());
        assert!(check(&["x"; 501].join("/")).is_err());
        for key in ["a", "runs/0190/checkpoints/3-7", "..a/.b-_", &"x".repeat(200)] {
            assert!(check(key).is_ok(), "{key:?} was refused");
        }
    }

    #[test]
    fn a_prefix_takes_whole_segments() {
        assert!(has_prefix("runs/7/x", "runs/7"));
        assert!(has_prefix("runs/7", "runs/7"));
        assert!(!has_prefix("runs/70", "runs/7"));
        assert!(!has_prefix("run", "runs"));
    }
}
