//! `gc`: removes what nobody will need any more.

use super::table::{self, plain, table, time};
use super::{End, State, open_store, print, print_json, runtime, say};
use crate::cli::parse;
use crate::cli::progress::plural;
use crate::record::Records;
use crate::record::about::About;
use crate::record::folder::{FolderError, Standing};
use crate::record::recorder::now;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A run that was started so recently may not have its lock yet.
const NEW: Duration = Duration::from_secs(60);

/// Objects in the store that belong to no run of this directory may be those of a run that uses the store from elsewhere: they are left alone until nothing has
/// changed there for so long.
const LEFT_OVER: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug, Args)]
pub(in crate::cli) struct Gc {
    #[command(flatten)]
    state: State,
    /// Only runs whose end is so long ago, for example `12h` or `7d`
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    older_than: Option<Duration>,
    /// Runs that were interrupted, too: they cannot be resumed then
    #[arg(long)]
    all: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Something that is removed, or would be.
struct Doomed {
    name: String,
    what: &'static str,
    since: u64,
    /// Why it could not be removed.
    trouble: Option<String>,
}

impl Gc {
    pub(super) fn answer(self) -> Result<(), End> {
        let mut removed = self.runs()?;
        removed.extend(self.left_over()?);
        let failed: Vec<_> = removed.iter().filter_map(|doomed| doomed.trouble.clone()).collect();
        if self.json {
            let list: Vec<_> = removed
                .iter()
                .map(|doomed| {
                    json!({
                        "name": doomed.name,
                        "what": doomed.what,
                        "since": table::time_for_programs(doomed.since),
                        "removed": !self.dry_run && doomed.trouble.is_none(),
                        "trouble": doomed.trouble,
                    })
                })
                .collect();
            print_json(&list)?;
        } else if removed.is_empty() {
            say("there is nothing to remove");
        } else {
            let mut table = table(&[
                if self.dry_run { "WOULD BE REMOVED" } else { "REMOVED" },
                "STATE",
                "SINCE",
            ]);
            for doomed in removed.iter().filter(|doomed| doomed.trouble.is_none()) {
                table.add_row([plain(&doomed.name), doomed.what.to_string(), time(doomed.since)]);
            }
            print(&table::text(&table))?;
        }
        match failed.as_slice() {
            [] => Ok(()),
            failed => {
                let count = plural(failed.len() as u64, "thing");
                Err(End::failed(format!(
                    "{count} could not be removed: {}",
                    failed.join("; ")
                )))
            }
        }
    }

    fn runs(&self) -> Result<Vec<Doomed>, End> {
        let records = self.state.open()?;
        let mut removed = Vec::new();
        for run in records.runs().map_err(End::failed)? {
            let about = records.about(run).ok();
            let standing = records.standing(run, about.as_ref());
            let since = match &about {
                Some(about) => about.ended.unwrap_or(about.seen),
                None => run.generated_at(),
            };
            let age = Duration::from_micros(now().0.saturating_sub(since));
            let is_wanted = match standing {
                Standing::Ended | Standing::Failed | Standing::Cancelled => true,
                Standing::Interrupted => self.all,
                Standing::Unknown => self.all && age > NEW,
                Standing::Running => false,
            };
            if !is_wanted || self.older_than.is_some_and(|limit| age < limit) {
                continue;
            }
            let mut doomed = Doomed {
                name: run.to_string(),
                what: standing.word(),
                since,
                trouble: None,
            };
            if !self.dry_run {
                match records
                    .remove(run, &mut || forget_objects(&*records, about.as_ref(), run))
                    .map_err(|error| error.to_string())
                {
                    Ok(()) => {}
                    Err(trouble) if records.is_worked_on(run) => {
                        tracing::debug!(%run, trouble, "somebody works on it again");
                        continue;
                    }
                    Err(trouble) => doomed.trouble = Some(trouble),
                }
            }
            removed.push(doomed);
        }
        Ok(removed)
    }

    fn left_over(&self) -> Result<Vec<Doomed>, End> {
        let records = self.state.open()?;
        let limit = self.older_than.unwrap_or(LEFT_OVER);
        let mut found: Vec<(PathBuf, &'static str, u64)> = Vec::new();
        for path in records.half_removed().map_err(End::failed)? {
            found.push((path, "half removed", now().0));
        }
        for (path, changed) in records.left_over().map_err(End::failed)? {
            let age = SystemTime::now().duration_since(changed).unwrap_or_default();
            if age >= limit {
                let since = now()
                    .0
                    .saturating_sub(u64::try_from(age.as_micros()).unwrap_or(u64::MAX));
                found.push((path, "left in the store", since));
            }
        }
        let mut removed = Vec::new();
        for (path, what, since) in found {
            let trouble = match self.dry_run {
                true => None,
                // Another one may be at it, too.
                false if !path.exists() => None,
                false => std::fs::remove_dir_all(&path).err().map(|cause| {
                    let unavailable = FolderError::Unavailable {
                        action: "remove",
                        path: path.clone(),
                        cause,
                    };
                    unavailable.to_string()
                }),
            };
            let name = path
                .strip_prefix(records.place())
                .unwrap_or(&path)
                .display()
                .to_string();
            removed.push(Doomed {
                name,
                what,
                since,
                trouble,
            });
        }
        Ok(removed)
    }
}

/// Deletes the objects of a run: of one that has ended those that it left as its result.
fn forget_objects(records: &dyn Records, about: Option<&About>, run: crate::ids::RunId) -> Result<(), String> {
    let Some(about) = about else { return Ok(()) };
    let deleted = runtime().map_err(|end| end.message)?.block_on(async {
        let store = open_store(records, about)?;
        store.delete_prefix(&run.objects()).await?;
        store.delete_prefix(&run.results()).await
    });
    deleted.map_err(|cause| cause.to_string())
}
