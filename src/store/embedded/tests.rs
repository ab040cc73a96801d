//! What only this store has: a file that may be another one's.

use std::path::Path;

use super::db::FORMAT;
use super::tables::T;
use super::{EmbeddedConfig, EmbeddedStore};
use crate::store::op::Durability;
use crate::store::{Store as _, StoreError};

fn open(path: &Path, partitions: u16) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, EmbeddedConfig { durability: Durability::Strict, partitions, ..EmbeddedConfig::default() })
}

/// Why it is not opened, twice: the refusal leaves what is in the file as it is.
fn refused(path: &Path, partitions: u16) -> String {
    let refusal = || {
        let Err(StoreError::Unfit(why)) = open(path, partitions) else { panic!("it is opened") };
        why.join("\n")
    };
    let first = refusal();
    assert_eq!(refusal(), first);
    first
}

#[tokio::test]
async fn a_file_is_the_same_store_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let first = open(&path, 4).unwrap().info();
    let again = open(&path, 0).unwrap().info();
    assert_eq!((first.id, 4), (again.id, again.partitions), "a number that is not asked for is the recorded one");
}

#[test]
fn a_file_of_a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    drop(open(&path, 2).unwrap());
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let newer = (FORMAT + 1).to_be_bytes();
    transaction.open_table(T::Meta.definition()).unwrap().insert(&b"format"[..], &newer[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let why = refused(&path, 0);
    assert!(why.contains("written by a newer everloop"), "{why}");
}

#[test]
fn another_number_of_partitions_and_another_programs_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    drop(open(&path, 2).unwrap());
    let why = refused(&path, 3);
    assert!(why.contains("created with 2 partitions and 3 were asked for"), "{why}");

    let foreign = folder.path().join("foreign.redb");
    let database = redb::Database::create(&foreign).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("pictures")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let why = refused(&foreign, 0);
    assert!(why.contains("another program's database"), "{why}");
}

#[test]
fn a_file_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let _open = open(&path, 2).unwrap();
    let Err(error) = open(&path, 2) else { panic!("it is opened twice") };
    assert!(error.to_string().contains("in use"), "{error}");
}
