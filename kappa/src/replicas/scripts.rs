//! What a server does in one step. Each write names the view it was made under, and is refused by a server that has heard of another one.

use redis::{Cmd, RedisWrite, Script, Value};
use std::io::Write;
use std::sync::LazyLock;

/// The keys of a server that are no values.
pub(super) const SERVER: &str = "kappa:server";
pub(super) const TOKEN: &str = "kappa:token";
pub(super) const VIEW: &str = "kappa:view";
pub(super) const LOCK: &str = "kappa:lock";
pub(super) const VOTE: &str = "kappa:vote";

/// What is written to see whether a server takes anything. It goes by itself.
pub(super) const PROBE: &str = "kappa:probe";

/// Values begin with the id of their put.
pub(super) const ID_BYTES: usize = 16;

/// Names one put; of the values under one key at different times or on different servers, those with the same id are the same.
pub(crate) type PutId = [u8; ID_BYTES];

/// Above this many bytes a value is set beside its key first and then renamed: a script would copy it twice.
pub(super) const STAGED_FROM: usize = 32 << 10;

/// How long a value may lie beside its key, in milliseconds. One whose writer has died goes by itself.
const STAGED_FOR: u64 = 600_000;

/// Gives a server that has neither name nor view its name. Returns its name, the latest view's token, and the latest view.
const HELLO: &str = "if redis.call('EXISTS', KEYS[2], KEYS[3]) == 0 then redis.call('SETNX', KEYS[1], ARGV[1]) end
         return {redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or ''}";

/// Replaces a view by another one, on a server of this name. Returns 0, 4 (it has another name), or the view that is there instead of the expected one.
const SET_VIEW: &str = "if redis.call('GET', KEYS[3]) ~= ARGV[4] then return 4 end
         local token = redis.call('GET', KEYS[1]) or ''
         if token == ARGV[2] then return 0 end
         if token ~= ARGV[1] then return redis.call('GET', KEYS[2]) or '' end
         redis.call('SET', KEYS[1], ARGV[2])
         redis.call('SET', KEYS[2], ARGV[3])
         redis.call('DEL', KEYS[4])
         return 0";

/// Promises not to vote under a lower ballot for what comes after this view, or votes for it. Returns {0, the ballot and the view that was voted for, or
/// nothing}, {1} (another view), {2, the higher ballot that was promised} or {4} (another name).
///
/// A vote is `view it follows, ballot promised, ballot voted under, view voted for`. Ballots are of one length, so that they compare as texts.
const VOTE_ON: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {4} end
         if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return {1} end
         local vote = redis.call('HMGET', KEYS[3], 'after', 'promised', 'ballot', 'view')
         if vote[1] ~= ARGV[2] then
           redis.call('DEL', KEYS[3])
           vote = {ARGV[2], '', '', ''}
         end
         if vote[2] > ARGV[3] then return {2, vote[2]} end
         if ARGV[4] == '' then
           redis.call('HSET', KEYS[3], 'after', ARGV[2], 'promised', ARGV[3])
           return {0, vote[3] or '', vote[4] or ''}
         end
         redis.call('HSET', KEYS[3], 'after', ARGV[2], 'promised', ARGV[3], 'ballot', ARGV[3], 'view', ARGV[4])
         return {0, ARGV[3], ARGV[4]}";

/// Puts a value in the place of the expected one. Returns 0 (there now, or was there already), 1 (another view), 2 (the guard is another), 3 (what must be
/// there before is missing), or the id of the value that is there instead.
///
/// Half of what it costs is the way from the script to the commands, so it gives few of them: three for a batch of a journal, where the value is all.
const PUT: &str = "local call, keys, args, result = redis.call, KEYS, ARGV, nil
         if keys[4] == '' then
           if call('GET', keys[1]) ~= args[1] then result = 1 end
         else
           local there = call('MGET', keys[1], keys[4])
           if there[1] ~= args[1] then
             result = 1
           elseif not there[2] or string.sub(there[2], 1, 16) ~= args[4] then
             result = 2
           end
         end
         if not result and keys[5] ~= '' and call('EXISTS', keys[5]) == 0 and call('GETRANGE', keys[2], 0, 15) ~= args[3] then
           result = 3
         end
         if not result and args[2] == '' and keys[3] == '' and call('SET', keys[2], args[5], 'NX') then return 0 end
         if not result then
           local holder = call('GETRANGE', keys[2], 0, 15)
           if holder == args[3] then
             result = 0
           elseif holder ~= args[2] then
             result = holder
           elseif keys[3] == '' then
             call('SET', keys[2], args[5])
             return 0
           else
             call('RENAME', keys[3], keys[2])
             call('PERSIST', keys[2])
             return 0
           end
         end
         if keys[3] ~= '' then call('UNLINK', keys[3]) end
         return result";

/// Deletes values. Returns 0, 1 or 2 as the script above.
const DELETE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
         if KEYS[2] ~= '' and redis.call('GETRANGE', KEYS[2], 0, 15) ~= ARGV[2] then return 2 end
         for index = 3, #KEYS do redis.call('UNLINK', KEYS[index]) end
         return 0";

/// Deletes values that are still the expected ones. Returns 0 or 1 as the script above.
const DROP: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 1 end
         for index = 2, #KEYS do
           if redis.call('GETRANGE', KEYS[index], 0, 15) == ARGV[index] then redis.call('UNLINK', KEYS[index]) end
         end
         return 0";

/// Prolongs a lock, or frees it, if it is still held. Returns 1 if it was.
const HOLD: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
         if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
         return 1";

/// Takes name, token, view and vote from a server that has still these three. Returns 0 (done) or 1 (it has others).
const FORGET: &str = "for index = 1, 3 do
           if (redis.call('GET', KEYS[index]) or '') ~= ARGV[index] then return 1 end
         end
         redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
         return 0";

/// Gives the servers' scripts their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Hello,
    SetView,
    Put,
    Delete,
    Drop,
    Hold,
    VoteOn,
    Forget,
}

const TEXTS: [&str; 8] = [HELLO, SET_VIEW, PUT, DELETE, DROP, HOLD, VOTE_ON, FORGET];
static SCRIPTS: LazyLock<[Script; 8]> = LazyLock::new(|| TEXTS.map(Script::new));

fn call(code: Code, keys: &[&str]) -> Cmd {
    let mut cmd = redis::cmd("EVALSHA");
    cmd.arg(SCRIPTS[code as usize].get_hash()).arg(keys.len());
    for key in keys {
        cmd.arg(key);
    }
    cmd
}

/// What makes a server know the scripts.
pub(super) fn load_all() -> redis::Pipeline {
    let mut pipeline = redis::pipe();
    for text in TEXTS {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(text);
    }
    pipeline
}

pub(super) fn hello(new_name: &str) -> Cmd {
    let mut cmd = call(Code::Hello, &[SERVER, TOKEN, VIEW]);
    cmd.arg(new_name);
    cmd
}

pub(super) fn set_view(server: &str, expected: &str, token: &str, view: &str) -> Cmd {
    let mut cmd = call(Code::SetView, &[TOKEN, VIEW, SERVER, VOTE]);
    cmd.arg(expected).arg(token).arg(view).arg(server);
    cmd
}

/// Asks a server of this name for its vote on what comes after the view of this token; without a view, only for its promise.
pub(super) fn vote_on(server: &str, after: &str, ballot: &str, view: &str) -> Cmd {
    let mut cmd = call(Code::VoteOn, &[SERVER, TOKEN, VOTE]);
    cmd.arg(server).arg(after).arg(ballot).arg(view);
    cmd
}

/// Takes what a server was told, if it is still this: its name, the token and the view as it keeps them.
pub(super) fn forget(kept: &[Vec<u8>; 3]) -> Cmd {
    let mut cmd = call(Code::Forget, &[SERVER, TOKEN, VIEW, VOTE]);
    cmd.arg(&kept[..]);
    cmd
}

/// Which script this is the hash of.
#[cfg(test)]
pub(super) fn code_of(hash: &[u8]) -> Option<Code> {
    use Code::*;
    let codes = [Hello, SetView, Put, Delete, Drop, Hold, VoteOn, Forget];
    codes
        .into_iter()
        .find(|code| SCRIPTS[*code as usize].get_hash().as_bytes() == hash)
}

/// A value that must be there for a write to take place, and its id.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) key: String,
    pub(crate) id: PutId,
}

/// A put, as each server gets it.
#[derive(Clone, Copy)]
pub(super) struct Put<'a> {
    pub(super) token: &'a str,
    pub(super) key: &'a str,
    /// The id of the value that is to be replaced; `None` if there is to be none.
    pub(super) expected: Option<PutId>,
    pub(super) id: PutId,
    pub(super) value: &'a [u8],
    pub(super) guard: Option<&'a Guard>,
    /// A key that must be there.
    pub(super) previous: Option<&'a str>,
}

/// Ready to be sent to any number of servers.
pub(super) enum Prepared {
    One(Cmd),
    Staged(redis::Pipeline),
}

impl Put<'_> {
    /// Copies the value once.
    pub(super) fn prepare(&self) -> Prepared {
        let is_staged = self.value.len() > STAGED_FROM;
        let staged = match is_staged {
            true => format!("kappa:staged:{}", super::new_uuid().as_simple()),
            false => String::new(),
        };
        let guard = self.guard.map_or("", |guard| &guard.key);
        let keys = [TOKEN, self.key, &staged, guard, self.previous.unwrap_or_default()];
        let mut put = call(Code::Put, &keys);
        put.arg(self.token)
            .arg(self.expected.as_ref().map_or(&[][..], |id| &id[..]))
            .arg(&self.id[..])
            .arg(self.guard.map_or(&[][..], |guard| &guard.id[..]));
        if !is_staged {
            self.write_value(&mut put);
            return Prepared::One(put);
        }
        let mut set = Cmd::with_capacity(5, self.value.len() + 100);
        set.arg("SET").arg(&staged);
        self.write_value(&mut set);
        set.arg("PX").arg(STAGED_FOR);
        let mut pipeline = redis::pipe();
        pipeline.add_command(set).add_command(put);
        Prepared::Staged(pipeline)
    }

    fn write_value(&self, cmd: &mut Cmd) {
        cmd.reserve_space_for_args([ID_BYTES + self.value.len()]);
        let mut argument = cmd.writer_for_next_arg();
        // Writing to memory cannot fail.
        let _ = argument
            .write_all(&self.id)
            .and_then(|()| argument.write_all(self.value));
    }
}

/// What a server says to a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The value is there.
    Done,
    /// The view is not the server's.
    OtherView,
    /// The guard is not the one named, or not there.
    Fenced,
    /// The key that must be there is not.
    NothingBefore,
    /// Another value than the expected one is there (or, as `None`, there is none).
    Holds(Option<PutId>),
}

impl Said {
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Int(0) => Some(Said::Done),
            Value::Int(1) => Some(Said::OtherView),
            Value::Int(2) => Some(Said::Fenced),
            Value::Int(3) => Some(Said::NothingBefore),
            Value::BulkString(id) => Some(Said::Holds(read_id(id))),
            _ => None,
        }
    }
}

pub(super) fn read_id(bytes: &[u8]) -> Option<PutId> {
    bytes.first_chunk::<ID_BYTES>().copied()
}

pub(super) fn delete(token: &str, guard: Option<&Guard>, keys: &[String]) -> Cmd {
    let mut all = vec![TOKEN, guard.map_or("", |guard| &guard.key)];
    all.extend(keys.iter().map(String::as_str));
    let mut cmd = call(Code::Delete, &all);
    cmd.arg(token).arg(guard.map_or(&[][..], |guard| &guard.id[..]));
    cmd
}

pub(super) fn drop(token: &str, values: &[(String, PutId)]) -> Cmd {
    let mut keys = vec![TOKEN];
    keys.extend(values.iter().map(|(key, _)| key.as_str()));
    let mut cmd = call(Code::Drop, &keys);
    cmd.arg(token);
    for (_, id) in values {
        cmd.arg(&id[..]);
    }
    cmd
}

/// Prolongs a lock by so many milliseconds, or frees it by 0.
pub(super) fn hold(lock: &str, milliseconds: u64) -> Cmd {
    let mut cmd = call(Code::Hold, &[LOCK]);
    cmd.arg(lock).arg(milliseconds);
    cmd
}
