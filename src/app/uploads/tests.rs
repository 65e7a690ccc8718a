//! What becomes of uploads when the clock or the disk is not what it should be.

use super::*;
use crate::app::test_app::{pending_video, put, with_app};
use crate::domain::limits;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

async fn begin(app: &App, length_bytes: u64) -> MediaFileId {
    let (organization, video) = pending_video(app).await;
    let id = MediaFileId::from_random(app.random());
    let upload = Upload {
        id,
        organization,
        video,
        rendition: None,
        of: None,
        length_bytes,
        metadata: None,
        actor: Actor::Appliance,
        created_at: app.now(),
        received_at: None,
        refusal: None,
    };
    app.uploads.create(id, length_bytes).await.unwrap();
    put(app, app.now(), move |draft| draft.put(&upload)).await;
    id
}

#[test]
fn a_clock_that_is_ahead_for_a_moment_ends_no_upload() {
    let test = async |app: Arc<App>, seconds: Arc<std::sync::atomic::AtomicI64>| {
        let id = begin(&app, 10).await;
        let is_there = || app.store.access().upload(id).is_some();
        let touched = app.uploads.directory.progress(id, 10).await.unwrap().unwrap().touched.secs();
        let (right, ahead) = (touched + 60, touched + limits::UPLOAD_LIFE_S + 60);
        let (began, enough) = (Instant::now(), limits::UPLOAD_FORGET_AFTER_S);
        let tend = async |clock, after_s| {
            seconds.store(clock, Ordering::SeqCst);
            app.tend_uploads_at(began + Duration::from_secs(after_s)).await;
            is_there()
        };
        assert!(tend(ahead, 0).await && tend(ahead, enough - 1).await);
        assert!(tend(right, enough).await);
        assert!(tend(ahead, enough + 1).await && tend(ahead, 2 * enough).await);
        assert!(app.uploads.directory.progress(id, 10).await.unwrap().is_some());
        // What has really expired goes, and its file with it.
        assert!(!tend(ahead, 2 * enough + 1).await);
        assert!(app.uploads.directory.progress(id, 10).await.unwrap().is_none());
    };
    with_app(test, |_| {});
}

#[test]
fn an_upload_that_an_attempt_left_in_media_is_taken_in_all_the_same() {
    const BYTES: &[u8] = b"not a film";
    let test = async |app: Arc<App>, _| {
        let id = begin(&app, BYTES.len() as u64).await;
        std::fs::write(app.media.path(id), BYTES).unwrap();
        app.uploads.directory.remove(id).await;
        app.uploads.lines.put_off(id);
        app.tend_uploads().await;
        let ended = async {
            while app.store.access().upload(id).is_some_and(|upload| upload.is_open()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it has ended");
        let refusal = app.store.access().upload(id).and_then(|upload| upload.refusal.clone());
        assert!(refusal.is_some(), "it was looked at");
        assert!(!app.media.path(id).exists());
    };
    with_app(test, |_| {});
}

#[test]
fn an_upload_that_was_deleted_before_it_was_kept_is_not_kept() {
    const FILM: &[u8] = include_bytes!("../../../tests/fixtures/h264_aac.mp4");
    let test = async |app: Arc<App>, _| {
        let id = begin(&app, FILM.len() as u64).await;
        let upload = app.store.access().upload(id).cloned().unwrap();
        // Nobody reads it yet.
        let held = app.reading.acquire_many(u32::try_from(limits::SOURCES_READ_AT_ONCE).unwrap()).await.unwrap();
        let mut piece = app.begin_piece(Arc::clone(&upload), 0, None, None).await.unwrap().unwrap();
        piece.write(&bytes::Bytes::from_static(FILM)).await.unwrap();
        piece.finish().await.unwrap();
        app.delete_upload(Actor::Appliance.into(), upload.organization, id).await.unwrap();
        drop(held);
        let over = async {
            while app.uploads.lines.is_taken_in(id) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), over).await.expect("it has ended");
        let video: Video = app.store.find(upload.video.0).await.unwrap().unwrap();
        assert!(video.source.is_none() && video.next_source.is_none(), "it became its video's source");
        assert!(!app.media.path(id).exists());
        assert!(app.uploads.directory.progress(id, upload.length_bytes).await.unwrap().is_none());
    };
    with_app(test, |_| {});
}

#[test]
fn a_record_that_was_read_just_before_its_upload_was_kept_is_being_processed() {
    let test = async |app: Arc<App>, _| {
        let id = begin(&app, 10).await;
        let upload = app.store.access().upload(id).cloned().unwrap();
        let before: Video = app.store.find(upload.video.0).await.unwrap().unwrap();
        assert_eq!(app.status_of(&before), VideoStatus::PendingUpload);
        app.uploads.lines.put_off(id);
        let kept = Upload { received_at: Some(app.now()), ..Upload::clone(&upload) };
        put(&app, app.now(), move |draft| draft.put(&kept)).await;
        assert_eq!(app.status_of(&before), VideoStatus::Processing);
        let refused =
            Upload { refusal: Some("no film".to_owned()), received_at: Some(app.now()), ..Upload::clone(&upload) };
        put(&app, app.now(), move |draft| draft.put(&refused)).await;
        assert_eq!(app.status_of(&before), VideoStatus::PendingUpload, "nothing came of it");
    };
    with_app(test, |_| {});
}
