//! Tables: folders of Parquet, CSV and JSON files.
//!
//! Guarantees: of a table every file is read, or the table is refused by name; a value is what the file says, or there is an
//! error that names the file; a table that nobody asks for is not looked into.
//!
//! | file | its thought |
//! |---|---|
//! | [`place`], [`s3`] | where folders are |
//! | [`find`] | which files make which table |
//! | [`catalogue`] | tables are looked into when they are named |
//! | [`parquet`], [`widen`], [`plain`] | Parquet, types that have become wider, and types that survive a shuffle |
//! | [`text`] | CSV and JSON |

mod catalogue;
mod find;
mod parquet;
mod place;
mod plain;
pub(crate) mod s3;
pub(crate) mod text;
mod widen;

pub(crate) use catalogue::Catalogue;

use crate::error::Result;
use crate::session::Session;
use kappa::store::S3Place;
use place::Place;
use std::path::Path;
use std::sync::Arc;

impl Session {
    /// Makes every Parquet, CSV and JSON file of `folder`, and every sub-folder of such files, a table named after it,
    /// and returns the names. Names that start with `.` or `_`, and other kinds of files, are passed over. A table is looked
    /// into when a statement names it: what is wrong with it is said then.
    ///
    /// The folder may be in S3: `s3://BUCKET[/PATH][?endpoint=URL]`.
    ///
    /// # Errors
    /// If the folder is missing or holds no data.
    pub async fn register_folder(&self, folder: impl AsRef<Path>) -> Result<Vec<String>> {
        let folder = folder.as_ref();
        let (place, folder) = match folder.to_str().filter(|url| url.starts_with(s3::SCHEME)) {
            Some(url) => {
                let place = S3Place::parse(url)?;
                self.add_bucket(&place)?;
                let (objects, folder) = s3::Objects::list(&place).await?;
                (Place::S3(objects), folder)
            }
            None => (Place::Here, folder.to_owned()),
        };
        let tables = find::find_tables(&place, &folder)?;
        let names = tables.keys().cloned().collect();
        self.catalogue().add(&Arc::new(place), tables);
        Ok(names)
    }
}
