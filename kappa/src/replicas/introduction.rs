//! What a server says of itself: which one it is, what it was told, and whether it keeps what it is given.

use super::line::Line;
use super::sabotage::{self, Sabotage};
use super::scripts;
use super::server::{Trouble, takes_nothing};
use super::view::{Member, View, new_token};
use redis::{RedisError, Value};

/// How long what was written to see whether it takes anything is kept, in milliseconds.
const PROBED_FOR: u64 = 1000;

/// A server that has said who it is.
pub(super) struct Introduced {
    pub(super) member: Member,
    pub(super) told: Told,
    /// Most bytes of a text that it takes, if it says so.
    pub(super) longest: Option<u64>,
    /// What a person should know of it.
    pub(super) warning: Option<String>,
}

/// What a server was told, as it has kept it.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// Of the latest view; empty if there is none.
    pub(super) token: String,
    pub(super) view: Option<View>,
    /// What it has lost of this, in words that follow its name.
    pub(super) damage: Option<String>,
    /// Its name, the token and the view as it keeps them, if something of it is lost.
    pub(super) kept: [Vec<u8>; 3],
}

impl Told {
    /// From name, token and view as the server keeps them; gives the name too.
    pub(super) fn read(answer: Value) -> Result<(String, Self), Trouble> {
        let parts: [Option<Vec<u8>>; 3] = redis::from_redis_value(answer).map_err(RedisError::from)?;
        let kept = parts.map(Option::unwrap_or_default);
        let [server, token, view] = &kept;
        let (server, token) = (text(server), text(token));
        let view = read_view(view)?;
        let damage = match (&*server, &*token, &view) {
            (_, "", None) => None,
            ("", _, _) if !sabotage::is(Sabotage::TrustsEmptied) => Some(lost(scripts::SERVER)),
            (_, "", Some(_)) => Some(lost(scripts::TOKEN)),
            (_, _, None) => Some(lost(scripts::VIEW)),
            (_, token, Some(view)) if view.token != token => {
                Some(format!("has another value of `{}` than it was given", scripts::TOKEN))
            }
            _ => None,
        };
        let kept = damage.as_ref().map_or_else(Default::default, |_| kept);
        let told = Told {
            token,
            view,
            damage,
            kept,
        };
        Ok((server, told))
    }

    /// It was told this.
    pub(super) fn of(view: View) -> Self {
        Told {
            token: view.token.clone(),
            view: Some(view),
            ..Told::default()
        }
    }
}

fn lost(key: &str) -> String {
    format!("has lost `{key}`")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn read_view(bytes: &[u8]) -> Result<Option<View>, Trouble> {
    if bytes.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(bytes).map(Some).map_err(|_| {
        Trouble::Unwilling(
            "what is written there of the other servers was made by another version of Kappa".to_string(),
        )
    })
}

/// Asks who the server is, and what it was told.
pub(super) async fn introduce(line: &Line, is_worker: bool) -> Result<Introduced, Trouble> {
    let mut pipeline = scripts::load_all();
    pipeline.cmd("INFO").arg("server");
    pipeline.cmd("INFO").arg("memory");
    pipeline.cmd("CONFIG").arg("GET").arg("maxmemory-policy");
    pipeline.cmd("CONFIG").arg("GET").arg("proto-max-bulk-len");
    let mut answers = line.ask_all(&pipeline).await?;
    let said: Vec<_> = answers
        .split_off(answers.len().saturating_sub(4))
        .into_iter()
        .map(Value::extract_error)
        .collect();
    let loaded: Result<Vec<_>, _> = answers.into_iter().map(Value::extract_error).collect();
    loaded?;
    let Ok([server, memory, policy, longest]) = <[_; 4]>::try_from(said) else {
        return Err(Trouble::nonsense(&Value::Nil));
    };
    let Some(process) = field(&server?, "run_id") else {
        return Err(Trouble::Unwilling(
            "it does not say which process it is (run_id)".to_string(),
        ));
    };
    // Some let nobody ask for their configuration.
    let memory = memory.ok().and_then(|memory| field(&memory, "maxmemory_policy"));
    let policy = memory.or_else(|| policy.ok().and_then(|policy| setting(&policy)));
    let longest = longest.ok().and_then(|longest| setting(&longest)?.parse().ok());
    let warning = match is_worker {
        true => None,
        false => judge_policy(policy.as_deref())?,
    };
    takes_values(line).await?;
    let hello = line.ask(&scripts::hello(&new_token())).await;
    let (server, told) = Told::read(hello.and_then(Value::extract_error)?)?;
    let process = match sabotage::is(Sabotage::TrustsRestarted) {
        true => server.clone(),
        false => process,
    };
    Ok(Introduced {
        member: Member { server, process },
        told,
        longest,
        warning,
    })
}

/// Makes sure that something can be written to it: one that takes nothing is of no more use than one that is not there.
async fn takes_values(line: &Line) -> Result<(), Trouble> {
    let mut probe = redis::cmd("SET");
    probe.arg(scripts::PROBE).arg("").arg("PX").arg(PROBED_FOR);
    match line.ask(&probe).await.and_then(Value::extract_error) {
        // That its memory is full does not keep it from what it has.
        Err(error) if takes_nothing(&error) => Err(Trouble::Gone(format!("it takes nothing that is written: {error}"))),
        Err(error) if Trouble::from(error.clone()).is_gone() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Refuses a server that makes room by forgetting; says what is to be said of one that does not tell.
fn judge_policy(policy: Option<&str>) -> Result<Option<String>, Trouble> {
    match policy {
        Some("noeviction") => Ok(None),
        Some(evicting) => Err(Trouble::Unwilling(format!(
            "it forgets what is stored when its memory is full (maxmemory-policy {evicting}), and a run would lose values without a word; let it refuse \
             writes instead: `CONFIG SET maxmemory-policy noeviction`, or the same in its configuration"
        ))),
        None => Ok(Some(
            "it does not say whether it forgets what is stored when its memory is full; its maxmemory-policy must be noeviction".to_string(),
        )),
    }
}

/// A line of what INFO answers.
fn field(info: &Value, name: &str) -> Option<String> {
    let Value::BulkString(info) = info else { return None };
    let info = String::from_utf8_lossy(info);
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .map(str::to_string)
}

/// The value of the one setting that CONFIG GET was asked for.
fn setting(answer: &Value) -> Option<String> {
    let pair: Vec<String> = redis::from_redis_value_ref(answer).ok()?;
    pair.into_iter().nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(server: &str, token: &str, view: Option<&View>) -> Told {
        let bulk = |text: String| match text.is_empty() {
            true => Value::Nil,
            false => Value::BulkString(text.into_bytes()),
        };
        let view = view.map_or(String::new(), |view| serde_json::to_string(view).expect("text"));
        let (name, told) = Told::read(Value::Array(vec![
            bulk(server.to_string()),
            bulk(token.to_string()),
            bulk(view),
        ]))
        .expect("told");
        assert_eq!(name, server);
        told
    }

    #[test]
    fn whatever_is_lost_of_what_a_server_was_told_is_noticed_and_named() {
        let view = View::first(vec![], 1);
        let token = view.token.as_str();
        assert!(told("a", token, Some(&view)).damage.is_none());
        assert!(told("a", "", None).damage.is_none(), "it was told nothing yet");
        assert!(told("", "", None).damage.is_none(), "it was emptied");
        for (told, lost) in [
            (told("", token, Some(&view)), "kappa:server"),
            (told("", "", Some(&view)), "kappa:server"),
            (told("a", "", Some(&view)), "kappa:token"),
            (told("a", token, None), "kappa:view"),
            (told("a", "another", Some(&view)), "kappa:token"),
        ] {
            let damage = told.damage.unwrap_or_default();
            assert!(damage.contains(lost), "{damage}");
        }
    }

    #[test]
    fn only_a_server_that_never_evicts_is_taken_and_one_that_does_not_say_is_mentioned() {
        assert!(matches!(judge_policy(Some("noeviction")), Ok(None)));
        assert!(matches!(judge_policy(None), Ok(Some(_))));
        for policy in [
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "volatile-lru",
            "volatile-ttl",
            "of-tomorrow",
        ] {
            let Err(Trouble::Unwilling(refused)) = judge_policy(Some(policy)) else {
                panic!("{policy}")
            };
            assert!(refused.contains(policy) && refused.contains("noeviction"), "{refused}");
        }
    }
}
