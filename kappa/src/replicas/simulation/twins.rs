//! The simulated server and Redis are told the same, and answer the same.

use super::super::scripts::{self, Guard, Prepared, Put, PutId};
use super::server::Server;
use crate::redis_servers as servers;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use redis::{Cmd, ConnectionLike, Value};

/// So many stories, of so many commands each.
const STORIES: u64 = 60;
const COMMANDS: usize = 200;

const TOKENS: [&str; 4] = ["", "t1", "t2", "t3"];
const KEYS: [&str; 4] = ["kappa:o:a", "kappa:o:b", "kappa:j:c", "kappa:g:d"];

struct Dice(SmallRng);

impl Dice {
    fn of<T: Clone>(&mut self, choice: &[T]) -> T {
        choice[self.0.random_range(0..choice.len())].clone()
    }

    fn id(&mut self) -> PutId {
        [self.of(&[1, 2, 3]); scripts::ID_BYTES]
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.0.random_bool(0.4).then(|| make(self))
    }

    fn guard(&mut self) -> Option<Guard> {
        self.maybe(|dice| Guard {
            key: dice.of(&KEYS).to_string(),
            id: dice.id(),
        })
    }

    /// One message, of one command or two. Most name the view that is there, so that they do something.
    fn message(&mut self, server: &str, token: &str) -> Vec<Cmd> {
        let server = match self.0.random_bool(0.95) {
            true => server,
            false => "another",
        };
        let token = match self.0.random_bool(0.9) {
            true => token,
            false => self.of(&TOKENS),
        };
        let one = match self.0.random_range(0..13) {
            0 => scripts::hello("s2"),
            1 => scripts::set_view(
                server,
                token,
                self.of(&TOKENS[1..]),
                self.of(&["a view", "another view"]),
            ),
            2 | 3 => {
                let ballot = format!("{:04}", self.0.random_range(0..6));
                scripts::vote_on(server, token, &ballot, self.of(&["", "v1", "v2"]))
            }
            4 => scripts::delete(
                token,
                self.guard().as_ref(),
                &[self.of(&KEYS).to_string(), self.of(&KEYS).to_string()],
            ),
            5 => scripts::drop(
                token,
                &[
                    (self.of(&KEYS).to_string(), self.id()),
                    (self.of(&KEYS).to_string(), self.id()),
                ],
            ),
            6 => {
                let mut lock = redis::cmd("SET");
                lock.arg(scripts::LOCK)
                    .arg(self.of(&["me", "you"]))
                    .arg("NX")
                    .arg("PX")
                    .arg(1_000_000);
                lock
            }
            12 => {
                // Mostly as it is; then everything is gone, so it is not often.
                let name = if self.0.random_bool(0.1) { server } else { "another" };
                scripts::forget(
                    &[name, token, self.of(&["", "a view", "another view"])].map(|text| text.as_bytes().to_vec()),
                )
            }
            7 => scripts::hold(self.of(&["me", "you"]), self.of(&[0, 1_000_000])),
            _ => {
                let value = vec![7; self.of(&[0, 1, 5, 100, scripts::STAGED_FROM + 1])];
                let guard = self.guard();
                let put = Put {
                    token,
                    key: self.of(&KEYS),
                    expected: self.maybe(Self::id),
                    id: self.id(),
                    value: &value,
                    guard: guard.as_ref(),
                    previous: self.maybe(|dice| dice.of(&KEYS)),
                };
                match put.prepare() {
                    Prepared::One(cmd) => cmd,
                    Prepared::Staged(pipeline) => return pipeline.cmd_iter().cloned().collect(),
                }
            }
        };
        vec![one]
    }
}

fn get(key: &str) -> Cmd {
    let mut get = redis::cmd("GET");
    get.arg(key);
    get
}

#[test]
fn the_simulated_server_answers_as_redis_does() {
    let redis = servers::Server::start(&[]);
    let client = redis::Client::open(format!("redis://{}", redis.address())).expect("a URL");
    let mut line = client.get_connection().expect("it answers");
    let mut answers = std::collections::BTreeSet::new();
    for seed in 0..STORIES {
        let mut dice = Dice(SmallRng::seed_from_u64(seed));
        let mut twin = Server::new("twin".to_string());
        redis::cmd("FLUSHALL").exec(&mut line).expect("done");
        scripts::load_all().exec(&mut line).expect("loaded");
        let mut told = vec![vec![scripts::hello("s1")]];
        for at in 0..COMMANDS {
            let message = told.pop().unwrap_or_else(|| {
                let token = line.req_command(&get(scripts::TOKEN)).expect("an answer");
                let token: Option<String> = redis::from_redis_value(token).expect("text");
                dice.message("s1", &token.unwrap_or_default())
            });
            for cmd in message {
                let said = String::from_utf8_lossy(&cmd.get_packed_command())
                    .chars()
                    .take(300)
                    .collect::<String>();
                let real = line.req_command(&cmd);
                let simulated = twin.answer(&cmd);
                match (&real, &simulated) {
                    (Ok(real), Ok(simulated)) => assert_eq!(simulated, real, "seed {seed}, message {at}: {said}"),
                    other => panic!("seed {seed}, message {at}: {said}: {other:?}"),
                }
                if let Ok(Value::Int(number)) = real {
                    answers.insert(number);
                }
            }
            for key in KEYS
                .iter()
                .chain(&[scripts::SERVER, scripts::TOKEN, scripts::VIEW, scripts::LOCK])
            {
                let (real, simulated) = (line.req_command(&get(key)), twin.answer(&get(key)));
                assert_eq!(simulated.ok(), real.ok(), "seed {seed}, after message {at}: {key}");
            }
        }
    }
    assert!(
        (0..=4).all(|answer| answers.contains(&answer)),
        "not all was seen: {answers:?}"
    );
}

/// Whoever has seen the damage may hear of it late: meanwhile somebody else has mended it, and that server may be the last one that has everything.
#[test]
fn a_server_is_made_to_forget_only_what_it_was_seen_to_have() {
    let redis = servers::Server::start(&[]);
    let client = redis::Client::open(format!("redis://{}", redis.address())).expect("a URL");
    let mut line = client.get_connection().expect("it answers");
    scripts::load_all().exec(&mut line).expect("loaded");
    let all = [scripts::SERVER, scripts::TOKEN, scripts::VIEW];
    let set = |line: &mut redis::Connection, values: [&str; 3]| {
        for (key, value) in all.iter().zip(values) {
            let cmd = if value.is_empty() { "DEL" } else { "SET" };
            let mut cmd = redis::cmd(cmd);
            cmd.arg(key);
            if !value.is_empty() {
                cmd.arg(value);
            }
            cmd.exec(line).expect("done");
        }
    };
    let count = |line: &mut redis::Connection| {
        let there: i64 = redis::cmd("EXISTS").arg(&all[..]).query(line).expect("a number");
        there
    };
    let seen = ["a", "t1", ""];
    for mended in [["b", "t1", ""], ["a", "t2", ""], ["a", "t1", "a view"], ["", "", ""]] {
        set(&mut line, mended);
        let before = count(&mut line);
        let said = line.req_command(&scripts::forget(&seen.map(|text| text.as_bytes().to_vec())));
        assert_eq!(said.expect("an answer"), Value::Int(1), "{mended:?}");
        assert_eq!(count(&mut line), before, "{mended:?}");
    }
    set(&mut line, seen);
    let said = line.req_command(&scripts::forget(&seen.map(|text| text.as_bytes().to_vec())));
    assert_eq!(said.expect("an answer"), Value::Int(0));
    assert_eq!(count(&mut line), 0);
}
