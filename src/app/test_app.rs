//! A server's insides for unit tests, with a clock that the test sets.

use super::seams::SetClock;
use super::{App, SystemEntropy, new_organization};
use crate::config::Config;
use crate::domain::{Actor, MediaFileId, OrganizationId, Timestamp, Video, VideoId, Visibility};
use crate::store::{Received, StateDir, WriteError, write_master_key};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// Runs `test` with an app and its clock in seconds, and then `check` with the state directory when the runtime has ended.
pub(crate) fn with_app(test: impl AsyncFnOnce(Arc<App>, Arc<AtomicI64>), check: impl FnOnce(&Path)) {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::default_for(directory.path().join("state"));
    let path = config.state.dir.clone();
    let state = StateDir::create(&path).unwrap();
    write_master_key(&config.state.master_key_file, &[7; 32]).unwrap();
    let seconds = Arc::new(AtomicI64::new(1_795_500_000));
    let clock = Box::new(SetClock(Arc::clone(&seconds)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = App::start(config, state, clock, Box::new(SystemEntropy)).await.unwrap();
        test(Arc::new(app), seconds).await;
    });
    drop(runtime);
    check(&path);
}

/// A video without a source, of a new organization.
pub(crate) async fn pending_video(app: &App) -> (OrganizationId, VideoId) {
    let organization = new_organization(app, Actor::Appliance, "Acme".to_owned()).await.unwrap().organization.id;
    let now = app.now();
    let id = VideoId::from_random(app.random());
    let video = Video::new(id, organization, "x".to_owned(), Visibility::Public, now);
    put(app, now, move |draft| draft.put(&video)).await;
    (organization, id)
}

/// Makes one change.
pub(crate) async fn put(app: &App, now: Timestamp, change: impl FnOnce(&mut crate::store::Draft<'_>) + Send + 'static) {
    let written = app.store.write(now, move |draft| {
        change(draft);
        Ok::<_, WriteError>(())
    });
    written.await.unwrap();
}

/// Bytes as something received.
pub(crate) async fn received(app: &App, bytes: &'static [u8]) -> Received {
    let mut incoming = app.media.receive(MediaFileId::from_random(app.random()), u64::MAX).await.unwrap();
    incoming.write(Bytes::from_static(bytes)).await.unwrap();
    incoming.finish().await.unwrap()
}
