//! Where the servers are: `redis://[[USER]:PASSWORD@]HOST[:PORT][,HOST2[:PORT]..][/DATABASE]`, or `rediss://..` for the same by TLS, with `?ca=FILE` for the
//! certificates (PEM) of the authorities that are trusted in place of the system's.
//!
//! Guarantees that a password is part of [`Addresses::url`], which only the own worker processes are given, and of nothing else: not of the text that
//! messages show, not of an error about a mistyped URL.

use super::tls::Tls;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::fmt;
use std::path::Path;

/// What such a URL begins with.
const SCHEME: &str = "redis://";

/// What it begins with if the servers are to be spoken to by TLS.
const TLS_SCHEME: &str = "rediss://";

/// What the URLs of workers end with, behind `?` or `&`.
const ROLE: &str = "role=worker";

/// Most servers that one URL may name.
const MOST_SERVERS: usize = 16;

/// The servers of a URL, and what is to be done with them.
#[derive(Clone)]
pub(crate) struct Addresses {
    servers: Vec<Address>,
    scheme: &'static str,
    /// What a worker needs of the URL: without the options that concern others.
    url: String,
    options: Options,
}

/// What stands behind the `?` of a URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `missing=lost`: servers that cannot be reached are lost for good, whatever only they may know.
    pub(crate) missing_is_lost: bool,
    /// `role=worker`: somebody else watches over the servers.
    pub(crate) is_worker: bool,
}

/// One server.
#[derive(Clone)]
pub(crate) struct Address {
    name: String,
    info: ConnectionInfo,
    tls: Option<Tls>,
}

impl Address {
    /// Host, port and, unless it is 0, the database: what messages call the server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn host_and_port(&self) -> (&str, u16) {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, port) => (host, *port),
            // `parse` lets nothing else through.
            _ => ("", 0),
        }
    }

    pub(super) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Addresses {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without its secrets.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            Err(format!(
                "{} {what}; servers are named `redis://HOST[:PORT][,HOST2[:PORT]..]`, or `rediss://..` for TLS, with `:PASSWORD@` before a host and `/DATABASE` at the end if they need it",
                shown(url)
            ))
        };
        let schemes = [SCHEME, TLS_SCHEME];
        let Some((scheme, rest)) = schemes
            .into_iter()
            .find_map(|scheme| Some((scheme, url.strip_prefix(scheme)?)))
        else {
            return wrong("does not begin with `redis://` or `rediss://`");
        };
        let (hosts, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut options = Options::default();
        let mut ca = None;
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match (option, option.strip_prefix("ca=")) {
                ("missing=lost", _) => options.missing_is_lost = true,
                (ROLE, _) => options.is_worker = true,
                (_, Some(file)) if scheme == TLS_SCHEME => ca = Some(file),
                (_, Some(_)) => return wrong("names certificates without asking for TLS"),
                _ => return wrong("has an option other than `missing=lost` and `ca=FILE`"),
            }
        }
        let tls = match scheme {
            TLS_SCHEME => match Tls::new(ca.map(Path::new)) {
                Ok(tls) => Some(tls),
                Err(what) => return wrong(&what),
            },
            _ => None,
        };
        let parts: Vec<_> = hosts
            .split(',')
            .map(|part| part.strip_prefix(scheme).unwrap_or(part))
            .collect();
        if parts.len() > MOST_SERVERS {
            return wrong("names more than 16 servers");
        }
        // What a part leaves out: the first one has the credentials for all, the last one the database.
        let (_, common_credentials) = split_credentials(parts[0]);
        let (_, common_database) = split_database(parts[parts.len() - 1]);
        let mut servers: Vec<Address> = Vec::new();
        for part in &parts {
            let (rest, credentials) = split_credentials(part);
            let (host, database) = split_database(rest);
            if host.is_empty() {
                return wrong("has an empty host");
            }
            if host.contains(':') && rest.contains("//") {
                return wrong("asks for TLS for some of the servers only");
            }
            let credentials = credentials.or(common_credentials);
            let database = database.or(common_database).unwrap_or("0");
            let credentials = credentials.map_or(String::new(), |credentials| format!("{credentials}@"));
            let Ok(info) = format!("{SCHEME}{credentials}{host}/{database}").into_connection_info() else {
                return wrong("cannot be understood");
            };
            let ConnectionAddr::Tcp(host, port) = info.addr() else {
                return wrong("names something that is no host");
            };
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.clone()
            };
            let name = match info.redis_settings().db() {
                0 => format!("{host}:{port}"),
                database => format!("{host}:{port}/{database}"),
            };
            if servers.iter().any(|server| server.name == name) {
                return wrong("names a server twice");
            }
            let settings = info.redis_settings().clone().set_skip_set_lib_name();
            servers.push(Address {
                name,
                info: info.set_redis_settings(settings),
                tls: tls.clone(),
            });
        }
        let url = match ca {
            // A worker is started in a folder of its own.
            Some(file) => format!("{scheme}{hosts}?ca={}&", absolute(file)),
            None => format!("{scheme}{hosts}?"),
        };
        Ok(Addresses {
            servers,
            scheme,
            url,
            options,
        })
    }

    pub(crate) fn servers(&self) -> &[Address] {
        &self.servers
    }

    pub(crate) fn options(&self) -> Options {
        self.options
    }

    /// The URL by which a worker process opens the same servers. Holds the password.
    pub(crate) fn url_for_workers(&self) -> String {
        format!("{}{ROLE}", self.url)
    }
}

/// The servers as messages name them.
impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.servers.iter().map(Address::name).collect();
        write!(f, "{}{}", self.scheme, names.join(","))
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The URL that a worker was given, as it is for others.
pub(crate) fn without_role(url: &str) -> &str {
    let others = url.strip_suffix(ROLE);
    others.map_or(url, |others| others.trim_end_matches(['?', '&']))
}

fn absolute(file: &str) -> String {
    let absolute = std::path::absolute(file).map(|path| path.to_string_lossy().into_owned());
    absolute.unwrap_or_else(|_| file.to_string())
}

fn split_credentials(part: &str) -> (&str, Option<&str>) {
    match part.rsplit_once('@') {
        Some((credentials, rest)) => (rest, Some(credentials)),
        None => (part, None),
    }
}

fn split_database(part: &str) -> (&str, Option<&str>) {
    match split_credentials(part).0.split_once('/') {
        Some((host, database)) => (host, Some(database)),
        None => (split_credentials(part).0, None),
    }
}

/// Whether a text is meant as the URL of servers.
pub(crate) fn is_url(text: &str) -> bool {
    text.starts_with("redis:") || text.starts_with("rediss:")
}

/// A URL with its passwords covered, for messages.
pub(crate) fn shown(url: &str) -> String {
    let parts: Vec<_> = url
        .split(',')
        .map(|part| match part.rsplit_once('@') {
            Some((credentials, rest)) => {
                let mut starts = [SCHEME, TLS_SCHEME].into_iter();
                let start = starts.find(|scheme| credentials.starts_with(scheme)).unwrap_or("");
                format!("{start}***@{rest}")
            }
            None => part.to_string(),
        })
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Addresses {
        Addresses::parse(url).unwrap_or_else(|message| panic!("{message}"))
    }

    #[test]
    fn one_url_names_all_servers() {
        for (url, names) in [
            ("redis://a", "redis://a:6379"),
            ("redis://a:1,b", "redis://a:1,b:6379"),
            ("redis://a,redis://b:2/3", "redis://a:6379/3,b:2/3"),
            ("redis://a/1,b/2", "redis://a:6379/1,b:6379/2"),
            ("redis://[::1]:7,127.0.0.1:8", "redis://[::1]:7,127.0.0.1:8"),
        ] {
            assert_eq!(parsed(url).to_string(), names, "{url}");
        }
    }

    #[test]
    fn credentials_of_the_first_server_are_those_of_all_that_have_none() {
        let addresses = parsed("redis://me:s%40cret@a,b,:other@c");
        let passwords: Vec<_> = addresses
            .servers()
            .iter()
            .map(|server| server.info().redis_settings().password().unwrap_or_default())
            .collect();
        assert_eq!(passwords, ["s@cret", "s@cret", "other"]);
    }

    #[test]
    fn passwords_are_in_no_message() {
        let addresses = parsed("redis://:hidden@a,:hidden@b?missing=lost");
        assert!(addresses.options().missing_is_lost);
        assert!(addresses.url_for_workers().contains("hidden"));
        assert!(parsed(&addresses.url_for_workers()).options().is_worker);
        for shown in [
            addresses.to_string(),
            format!("{addresses:?}"),
            format!("{:?}", addresses.servers()),
        ] {
            assert!(!shown.contains("hidden"), "{shown}");
        }
        for url in [
            "redis://:hidden@a,",
            "redis://:hidden@a/x",
            "redis://:hidden@a,rediss://b",
            "redis://:hidden@a?ca=file",
            "rediss://:hidden@a?ca=/there/is/no/such/file",
            "redis://u:hidden@a?hot=1",
            "redis://:hidden@a:99999,b",
        ] {
            let message = Addresses::parse(url).expect_err(url);
            assert!(
                !message.contains("hidden") && message.contains("redis://HOST"),
                "{message}"
            );
        }
    }

    #[test]
    fn urls_that_name_no_servers_are_refused() {
        for url in [
            "redis://",
            "redis://a,,b",
            "redis://a,a",
            "redis:a",
            "redis://a?role=king",
        ] {
            assert!(Addresses::parse(url).is_err(), "{url}");
        }
    }
}
