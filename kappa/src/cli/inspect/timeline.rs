//! `timeline`: a run as one HTML file.

use super::{End, Which, print, say};
use crate::record::{History, timeline};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(in crate::cli) struct Timeline {
    #[command(flatten)]
    which: Which,
    /// Write the page to this file; `-` is stdout
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
}

impl Timeline {
    pub(super) fn answer(self) -> Result<(), End> {
        let (records, run) = self.which.find()?;
        let history = History::read(&*records, run).map_err(End::failed)?;
        let page = timeline::page(&history);
        if self.html.as_os_str() == "-" {
            return print(&page);
        }
        let file = self.html.display();
        std::fs::write(&self.html, &page).map_err(|cause| End::failed(format!("cannot write {file}: {cause}")))?;
        say(&format!("{file} shows run {run}; open it in a browser"));
        Ok(())
    }
}
