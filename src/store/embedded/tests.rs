//! What only this store has: a file that may be another one's.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::db::{self, FORMAT, Open};
use super::space::Space;
use super::tables::T;
use super::{EmbeddedConfig, EmbeddedStore};
use crate::api::{DurationMs, RunKey, TimeMs, Version};
use crate::store::op::{Define, Durability, Start};
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

/// A file of a program that did not count open runs yet: it is counted when it is opened.
#[tokio::test]
async fn open_runs_of_an_older_file_are_counted_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let run: RunKey = "default/r".parse().unwrap();
    let place = run.partition(2);
    let (counted, followed) = {
        let store = open(&path, 2).unwrap();
        store.define(definition("w")).await.unwrap();
        store.start(started(&run)).await.unwrap();
        (store.open_runs(place).await.unwrap(), store.followed(place, None).await.unwrap())
    };
    assert_eq!((counted.len(), followed.runs.len()), (1, 1));
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    for table in [T::Open, T::Followed] {
        transaction.delete_table(table.definition()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = open(&path, 2).unwrap();
    assert_eq!((store.open_runs(place).await.unwrap(), store.followed(place, None).await.unwrap()), (counted, followed));
}

/// A file of a program that did not keep the lengths of queues yet: they are counted when it is opened. What ended before is told without its time.
#[tokio::test]
async fn lengths_of_an_older_file_are_counted_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (place, session, name) =
        (crate::api::Partition(0), "w-default-1".parse().unwrap(), |text: &str| text.parse::<crate::api::Name>().unwrap());
    let before = {
        let store = open(&path, 1).unwrap();
        store.define(definition("w")).await.unwrap();
        for n in 0..5 {
            store.start(started(&format!("default/r{n}").parse().unwrap())).await.unwrap();
        }
        assert!(store.open_session(place, &session, &name("default"), TimeMs(u64::MAX >> 12)).await.unwrap());
        let by = crate::store::op::Claimer::Session { session: session.clone(), pool: name("default") };
        let claim =
            crate::store::op::Claim { partition: place, by, seq: 1, turns: 2, attempts: 0, again: false, now: TimeMs(u64::MAX >> 12) };
        store.claim(claim).await.unwrap();
        store.load(place, TimeMs(9)).await.unwrap()
    };
    assert_eq!((before.turns["default"].count, before.leases[&session].turns), (3, 2));
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.delete_table(T::Lengths.definition()).unwrap();
    let settled = [0, 0].iter().chain(b"default\0").copied().collect::<Vec<u8>>();
    transaction.open_table(T::Settled.definition()).unwrap().insert(&settled[..], &7_u64.to_be_bytes()[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let mut after = open(&path, 1).unwrap().load(place, TimeMs(9)).await.unwrap();
    let ended = std::mem::take(&mut after.ended);
    assert_eq!(ended["default"].attempts, crate::store::op::Tally::from([(None, 7)]));
    assert_eq!(after, before);
}

fn started(run: &RunKey) -> Start {
    Start {
        run: run.clone(),
        uid: uuid::Uuid::now_v7().to_string().parse().unwrap(),
        head: crate::api::Head(1),
        workflow: "w".parse().unwrap(),
        version: Version::of("w"),
        event: "{}".to_owned(),
        input_hash: "0".repeat(16),
        origin: Some("kubernetes/o".parse().unwrap()),
        now: TimeMs(1),
        offer: None,
    }
}

/// How a disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// One change, as if it were full for a moment.
    Once,
    /// Every change from one on.
    Dead,
    /// It has no more room: what is there can be written over.
    Full,
}

/// A disk that fails from the n-th change on.
#[derive(Debug)]
struct Disk {
    bytes: InMemoryBackend,
    /// Changes until it fails; negative when it does.
    room: AtomicI64,
    failure: Failure,
}

impl Disk {
    const SOUND: i64 = i64::MAX;

    fn change(&self, grows: bool, kind: ErrorKind) -> io::Result<()> {
        let first = match self.room.fetch_sub(1, Ordering::SeqCst) {
            1.. => return Ok(()),
            left => left == 0,
        };
        let fails = match self.failure {
            Failure::Once => first,
            Failure::Dead => true,
            Failure::Full => grows,
        };
        if fails { Err(kind.into()) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct Handle(Arc<Disk>);

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.0.bytes.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.bytes.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.change(len > self.len()?, ErrorKind::StorageFull)?;
        self.0.bytes.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.change(false, ErrorKind::Other)?;
        self.0.bytes.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.change(false, ErrorKind::StorageFull)?;
        self.0.bytes.write(offset, data)
    }
}

fn on(disk: &Arc<Disk>) -> EmbeddedStore {
    let disk = disk.clone();
    let open: Open = Box::new(move || db::builder().create_with_backend(Handle(disk.clone())));
    EmbeddedStore::with("file", open, "the disk", Space::new(None, 0), EmbeddedConfig { partitions: 1, ..EmbeddedConfig::default() })
        .unwrap()
}

fn definition(text: &str) -> Define {
    Define {
        namespace: "default".parse().unwrap(),
        name: "w".parse().unwrap(),
        version: Version::of(text),
        definition: text.to_owned(),
        pool: "default".parse().unwrap(),
        retention: DurationMs(1_000),
        holder: None,
        key: String::new(),
        now: TimeMs(0),
    }
}

async fn current(store: &EmbeddedStore) -> Version {
    store.workflow(&"default".parse().unwrap(), &"w".parse().unwrap()).await.unwrap().unwrap().version
}

/// The disk fails at each of its changes in turn: what is answered is true, and when it is mended the store goes on. How often it
/// was said to be full, and how often the outcome to be unknown.
async fn fails_at_every_change(failure: Failure) -> (u32, u32) {
    // More than redb takes of the disk beforehand.
    let large = "x".repeat(1 << 20);
    let (mut full, mut unknown) = (0, 0);
    for n in 0.. {
        let disk = Arc::new(Disk { bytes: InMemoryBackend::new(), room: AtomicI64::new(Disk::SOUND), failure });
        let store = on(&disk);
        store.define(definition("old")).await.unwrap();
        disk.room.store(n, Ordering::SeqCst);
        let answer = store.define(definition(&large)).await;
        let was_reached = disk.room.load(Ordering::SeqCst) < 0;
        disk.room.store(Disk::SOUND, Ordering::SeqCst);
        match answer {
            Ok(_) => assert_eq!(current(&store).await, Version::of(&large), "acknowledged, at change {n}"),
            Err(StoreError::Full { .. }) => {
                full += 1;
                assert_eq!(current(&store).await, Version::of("old"), "nothing was changed, at change {n}");
            }
            Err(StoreError::Unavailable { .. }) => unknown += 1,
            Err(other) => panic!("at change {n}: {other}"),
        }
        store.define(definition(&large)).await.unwrap();
        assert_eq!(current(&store).await, Version::of(&large), "the repeat is done, at change {n}");
        if !was_reached {
            break;
        }
    }
    (full, unknown)
}

#[tokio::test]
async fn rule_19_a_disk_that_fails_once_leaves_nothing_half_done_and_the_store_goes_on() {
    let (full, unknown) = fails_at_every_change(Failure::Once).await;
    assert!(full > 0 && unknown > 0, "{full}, {unknown}");
}

#[tokio::test]
async fn rule_19_a_dead_disk_leaves_nothing_half_done_until_it_is_mended() {
    let (full, unknown) = fails_at_every_change(Failure::Dead).await;
    assert!(full > 0 && unknown > 0, "{full}, {unknown}");
}

#[tokio::test]
async fn rule_19_a_full_disk_is_told_and_nothing_is_changed() {
    let (full, unknown) = fails_at_every_change(Failure::Full).await;
    assert!(full > 0 && unknown == 0, "{full}, {unknown}");
}
