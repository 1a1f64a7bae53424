//! Where the servers are: `redis://[[USER]:PASSWORD@]HOST[:PORT][,HOST2[:PORT]..][/DATABASE]`, or `rediss://..` for the same by TLS, with `?ca=FILE` for the
//! certificates (PEM) of the authorities that are trusted in place of the system's.
//!
//! A password that is in no URL, and so is not shown by `ps`, comes from `?password-file=FILE` or from the environment, [`PASSWORD_VARIABLE`]: one line for
//! all servers, or one line for each. What a program passes on by the environment says which server a password is for ([`passwords_in`]).
//!
//! Guarantees that a password is part of [`Addresses::url_for_workers`], which only the own workers are given, and that not as an argument, and of nothing
//! else: not of what is recorded ([`recorded`]), not of the text that messages show, not of an error about a mistyped URL.

use super::tls::Tls;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use std::collections::HashMap;
use std::fmt;
use std::fmt::Write;
use std::path::Path;

/// What such a URL begins with.
const SCHEME: &str = "redis://";

/// What it begins with if the servers are to be spoken to by TLS.
const TLS_SCHEME: &str = "rediss://";

/// What the URLs of workers end with, behind `?` or `&`.
const ROLE: &str = "role=worker";

/// What a URL says if servers that cannot be reached are lost for good.
const MISSING_IS_LOST: &str = "missing=lost";

/// The environment variable with the password of servers whose URL has none.
pub(crate) const PASSWORD_VARIABLE: &str = "KAPPA_REDIS_PASSWORD";

/// What its value begins with if each line names its server, `HOST:PORT PASSWORD`; and the line behind which come those of all others.
const BY_SERVER: &str = "#passwords by server\n";
const OTHERS: &str = "#passwords of all others\n";

/// The option that names a file with it.
const PASSWORD_FILE: &str = "password-file=";

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
    #[cfg(test)]
    network: Option<super::simulation::Network>,
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

    #[cfg(test)]
    pub(super) fn network(&self) -> Option<&super::simulation::Network> {
        self.network.as_ref()
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
        Self::parse_with(url, std::env::var(PASSWORD_VARIABLE).ok().as_deref())
    }

    /// The same with what the environment says of passwords.
    fn parse_with(url: &str, from_environment: Option<&str>) -> Result<Self, String> {
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
        let (mut ca, mut password_file) = (None, None);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match (option, option.strip_prefix("ca="), option.strip_prefix(PASSWORD_FILE)) {
                (MISSING_IS_LOST, _, _) => options.missing_is_lost = true,
                (ROLE, _, _) => options.is_worker = true,
                (_, Some(file), _) if scheme == TLS_SCHEME => ca = Some(file),
                (_, Some(_), _) => return wrong("names certificates without asking for TLS"),
                (_, _, Some(file)) => password_file = Some(file),
                _ => return wrong("has an option other than `missing=lost`, `ca=FILE` and `password-file=FILE`"),
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
        let (by_server, from_environment) = from_environment.map_or((HashMap::new(), None), split_by_server);
        // A worker has those that it needs in its URL.
        let passwords = match password_file.filter(|_| !options.is_worker) {
            Some(file) => match std::fs::read_to_string(file) {
                Ok(text) => lines_of(&text),
                Err(cause) => {
                    return wrong(&format!(
                        "names a file of passwords, {file}, that cannot be read: {cause}"
                    ));
                }
            },
            None => from_environment
                .filter(|_| !options.is_worker)
                .map_or(Vec::new(), lines_of),
        };
        if password_file.is_some() && !options.is_worker && passwords.is_empty() {
            return wrong("names a file of passwords in which there is none");
        }
        if passwords.len() > 1 && passwords.len() != parts.len() {
            return wrong(
                "comes with passwords in several lines: there must be one for all servers, or a line for each",
            );
        }
        // What a part leaves out: the first one has the credentials for all, the last one the database.
        let (_, common_credentials) = split_credentials(parts[0]);
        let (_, common_database) = split_database(parts[parts.len() - 1]);
        let mut servers: Vec<Address> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
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
            let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
            let password = by_server.get(host_of(&name)).filter(|_| !options.is_worker);
            let password = password.or(passwords.get(index).or(passwords.first()));
            // An empty line is for a server that asks for none.
            let password = password.filter(|password| !password.is_empty());
            if let (None, Some(password)) = (settings.password(), password) {
                settings = settings.set_password(password);
            }
            servers.push(Address {
                name,
                info: info.set_redis_settings(settings),
                tls: tls.clone(),
                #[cfg(test)]
                network: None,
            });
        }
        let url = url_of(scheme, &servers, [("ca=", ca), (PASSWORD_FILE, password_file)]);
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

    /// Servers of a simulation.
    #[cfg(test)]
    pub(super) fn simulated(names: &[String], network: &super::simulation::Network) -> Self {
        let hosts = format!("{SCHEME}{}", names.join(","));
        let mut addresses = Self::parse_with(&hosts, None).expect("names of servers");
        for server in &mut addresses.servers {
            server.network = Some(network.clone());
        }
        addresses
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

/// The servers' URL with their passwords, for whoever is told of it by a message.
fn url_of(scheme: &str, servers: &[Address], options: [(&str, Option<&str>); 2]) -> String {
    let hosts = servers.iter().map(|server| {
        let settings = server.info.redis_settings();
        let credentials = match (settings.username(), settings.password()) {
            (None, None) => String::new(),
            (user, None) => format!("{}@", escaped(user.unwrap_or_default())),
            (user, Some(password)) => format!("{}:{}@", escaped(user.unwrap_or_default()), escaped(password)),
        };
        // Without its own database it would take that of the last one.
        match server.name.contains('/') {
            true => format!("{credentials}{}", server.name),
            false => format!("{credentials}{}/0", server.name),
        }
    });
    let hosts: Vec<_> = hosts.collect();
    let mut url = format!("{scheme}{}?", hosts.join(","));
    for (option, file) in options {
        if let Some(file) = file {
            // A worker is started in a folder of its own.
            url.push_str(&format!("{option}{}&", absolute(file)));
        }
    }
    url
}

/// A text as a URL has it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => escaped.push(char::from(byte)),
            // Writing to memory cannot fail.
            false => drop(write!(escaped, "%{byte:02X}")),
        }
    }
    escaped
}

/// The server of a name, whichever database it is of.
fn host_of(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

/// What the environment says, apart: passwords by the names of servers, and those of whichever servers.
fn split_by_server(passwords: &str) -> (HashMap<String, String>, Option<&str>) {
    let Some(passwords) = passwords.strip_prefix(BY_SERVER) else {
        return (HashMap::new(), Some(passwords));
    };
    let (named, others) = match passwords.split_once(OTHERS) {
        Some((named, others)) => (named, Some(others)),
        None => (passwords, None),
    };
    let named = named.lines().filter_map(|line| line.split_once(' '));
    let named = named.map(|(name, password)| (name.to_string(), password.to_string()));
    (named.collect(), others)
}

fn lines_of(passwords: &str) -> Vec<String> {
    let passwords = passwords.trim_end_matches(['\r', '\n']);
    match passwords.is_empty() {
        true => Vec::new(),
        false => passwords.lines().map(str::to_string).collect(),
    }
}

/// A URL as it is written down: without passwords, and without what was said of the moment (`missing=lost`) or of a worker. It names the same servers from any
/// folder, if their passwords come from a file or from the environment.
pub(crate) fn recorded(url: &str) -> String {
    let Some(scheme) = [SCHEME, TLS_SCHEME].into_iter().find(|scheme| url.starts_with(scheme)) else {
        return shown(url);
    };
    let (hosts, query) = url[scheme.len()..]
        .split_once('?')
        .unwrap_or((&url[scheme.len()..], ""));
    // Whoever mistypes a password so that it looks like the options is told so before anything is recorded.
    let hosts = hosts.split(',').map(|part| {
        let part = part.strip_prefix(scheme).unwrap_or(part);
        let (rest, credentials) = split_credentials(part);
        let user = credentials.map_or("", |credentials| credentials.split(':').next().unwrap_or_default());
        match user {
            "" => rest.to_string(),
            user => format!("{user}@{rest}"),
        }
    });
    let hosts: Vec<_> = hosts.collect();
    let options = query.split('&').filter_map(|option| {
        let kept = ["ca=", PASSWORD_FILE].into_iter();
        let mut kept = kept.filter_map(|name| Some(format!("{name}{}", absolute(option.strip_prefix(name)?))));
        kept.next()
    });
    let options: Vec<_> = options.collect();
    let mark = if options.is_empty() { "" } else { "?" };
    format!("{scheme}{}{mark}{}", hosts.join(","), options.join("&"))
}

/// The same with what was said of the moment, for a program that goes on with it now.
pub(crate) fn for_a_moment(url: &str) -> String {
    let recorded = recorded(url);
    let query = url.split_once('?').map_or("", |(_, query)| query);
    match query.split('&').any(|option| option == MISSING_IS_LOST) {
        true if recorded.contains('?') => format!("{recorded}&{MISSING_IS_LOST}"),
        true => format!("{recorded}?{MISSING_IS_LOST}"),
        false => recorded,
    }
}

/// The passwords that are in a URL itself, as [`PASSWORD_VARIABLE`] has them for a program that goes on with it: each for its own server, so that no other one is
/// sent it. What this program's environment says is kept for the others. `None` if there are none.
pub(crate) fn passwords_in(url: &str) -> Option<String> {
    passwords_beside(url, std::env::var(PASSWORD_VARIABLE).ok().as_deref())
}

fn passwords_beside(url: &str, from_environment: Option<&str>) -> Option<String> {
    let addresses = Addresses::parse_with(url, None).ok()?;
    let mut passed_on = String::from(BY_SERVER);
    for server in &addresses.servers {
        // A line break would begin another server's.
        let password = server.info.redis_settings().password();
        if let Some(password) = password.filter(|password| !password.is_empty() && !password.contains(['\r', '\n'])) {
            passed_on.push_str(&format!("{} {password}\n", host_of(&server.name)));
        }
    }
    if passed_on == BY_SERVER {
        return None;
    }
    let (before, others) = from_environment.map_or((HashMap::new(), None), split_by_server);
    let is_known = |name: &str| addresses.servers.iter().any(|server| host_of(&server.name) == name);
    for (name, password) in before.iter().filter(|(name, _)| !is_known(name)) {
        passed_on.push_str(&format!("{name} {password}\n"));
    }
    if let Some(others) = others {
        passed_on.push_str(OTHERS);
        passed_on.push_str(others);
    }
    Some(passed_on)
}

/// Whether two URLs name the same servers.
pub(crate) fn are_the_same(one: &str, other: &str) -> bool {
    let names = |url: &str| {
        let addresses = Addresses::parse_with(url, None).ok()?;
        let mut names: Vec<_> = addresses.servers.iter().map(|server| server.name.clone()).collect();
        names.sort_unstable();
        Some(names)
    };
    names(one).is_some_and(|names_of_one| names(other) == Some(names_of_one))
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
    // Of any other scheme it is not known how it names hosts.
    if let Some((scheme, rest)) = url.split_once("://").filter(|_| !is_url(url))
        && let Some((_, host)) = rest.rsplit_once('@')
    {
        return format!("{scheme}://***@{host}");
    }
    let parts: Vec<_> = url
        .split(',')
        .map(|part| match part.rsplit_once('@') {
            Some((credentials, rest)) => {
                let mut starts = [SCHEME, TLS_SCHEME].into_iter();
                let start = starts.find(|scheme| credentials.starts_with(scheme)).unwrap_or("");
                format!("{start}***@{rest}")
            }
            // Half of a password that has a comma in it is no host.
            None if !looks_like_a_host(part) => "***".to_string(),
            None => part.to_string(),
        })
        .collect();
    parts.join(",")
}

/// Whether a part of a URL is nothing but `HOST[:PORT][/DATABASE][?OPTIONS]`.
fn looks_like_a_host(part: &str) -> bool {
    let rest = [SCHEME, TLS_SCHEME, "redis:", "rediss:"]
        .into_iter()
        .find_map(|scheme| part.strip_prefix(scheme))
        .unwrap_or(part);
    let rest = rest.split(['/', '?']).next().unwrap_or_default();
    let port = match rest.rsplit_once(']') {
        Some((_, port)) => port.strip_prefix(':'),
        None => rest.split_once(':').map(|(_, port)| port),
    };
    port.is_none_or(|port| port.bytes().all(|digit| digit.is_ascii_digit()) && !rest.starts_with(':'))
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

    fn passwords(addresses: &Addresses) -> Vec<&str> {
        let servers = addresses.servers.iter();
        servers
            .map(|server| server.info.redis_settings().password().unwrap_or_default())
            .collect()
    }

    #[test]
    fn a_password_comes_from_a_file_or_the_environment_and_is_written_down_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("password");
        std::fs::write(&file, "of the file, %\n").expect("written");
        let url = format!("redis://me@a,:own@b/3?missing=lost&password-file={}", file.display());
        let addresses = Addresses::parse_with(&url, Some("of the environment")).expect("a URL");
        assert_eq!(passwords(&addresses), ["of the file, %", "own"]);
        let worker = Addresses::parse_with(&addresses.url_for_workers(), Some("another")).expect("a URL");
        assert_eq!(passwords(&worker), passwords(&addresses));
        assert_eq!(worker.to_string(), addresses.to_string());
        assert!(worker.options().is_worker && !worker.options().missing_is_lost);
        for url in [&url, &addresses.url_for_workers()] {
            let written = recorded(url);
            assert!(!written.contains("own") && !written.contains("of%20the"), "{written}");
            let again = Addresses::parse_with(&written, None).expect("a URL");
            assert_eq!(again.to_string(), addresses.to_string());
            assert_eq!(passwords(&again)[0], "of the file, %");
            assert!(!again.options().missing_is_lost, "that was said of then");
        }

        let addresses = Addresses::parse_with("redis://a,b", Some("for all\n")).expect("a URL");
        assert_eq!(passwords(&addresses), ["for all", "for all"]);
        let addresses = Addresses::parse_with("redis://a,b", Some("one\ntwo\n")).expect("a URL");
        assert_eq!(passwords(&addresses), ["one", "two"]);
        let refused =
            Addresses::parse_with("redis://a,b,c", Some("secret-one\nsecret-two")).expect_err("two for three");
        assert!(!refused.contains("secret"), "{refused}");
        std::fs::write(&file, "\n").expect("written");
        assert!(Addresses::parse_with(&url, None).is_err(), "there is none in the file");
    }

    #[test]
    fn passwords_of_a_url_are_passed_on_by_the_environment() {
        let passed_on = |url: &str, before: Option<&str>, to: &str| {
            let passed_on = passwords_beside(url, before);
            let addresses = Addresses::parse_with(to, passed_on.as_deref()).expect("a URL");
            passwords(&addresses).join("|")
        };
        assert_eq!(passwords_beside("redis://a,b", Some("of the environment")), None);
        let url = "redis://:one@a,:t%20wo@b";
        assert_eq!(passed_on("redis://:one@a,b", None, "redis://a,b"), "one|one");
        assert_eq!(passed_on(url, None, &recorded(url)), "one|t wo");
        // In another order, and not to any other server.
        assert_eq!(passed_on(url, None, "redis://b,c,a/1"), "t wo||one");
        assert_eq!(passed_on(url, Some("of all"), "redis://c,b"), "of all|t wo");
        assert_eq!(passed_on("redis://a,:two@b", None, "redis://a,b"), "|two");
        // Passed on once more by a program that goes on with another run.
        let before = passwords_beside(url, Some("of all"));
        assert_eq!(
            passed_on("redis://:three@c,:x@b", before.as_deref(), "redis://a,b,c,d"),
            "one|x|three|of all"
        );
        // An empty line is for a server without one.
        let addresses = Addresses::parse_with("redis://a,b", Some("\ntwo\n")).expect("a URL");
        assert!(addresses.servers[0].info.redis_settings().password().is_none());
        assert_eq!(passwords(&addresses), ["", "two"]);
        assert!(are_the_same("redis://:x@b:6379,a", "redis://a,b?role=worker"));
        assert!(!are_the_same("redis://a", "redis://a/1") && !are_the_same("file:a", "file:a"));
    }

    #[test]
    fn half_a_password_is_not_shown_either() {
        for url in [
            "redis://:hid,den@a",
            "redis://me:hid,den@a,b",
            "redis://:hid/den@a",
            "redis://:hid?den@a",
        ] {
            let shown = shown(url);
            assert!(!shown.contains("hid") && !shown.contains("den"), "{shown}");
            assert!(
                !Addresses::parse_with(url, None)
                    .err()
                    .unwrap_or_default()
                    .contains("hid")
            );
        }
        for url in ["redis://a:1,b", "redis://[::1]:7,c/3?missing=lost", "redis://a"] {
            assert_eq!(shown(url), url);
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
