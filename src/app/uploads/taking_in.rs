//! From an upload that is whole to a part of its video, and the end of uploads that nobody goes on with.

use super::lines::Claim;
use super::{App, event};
use crate::app::IngestError;
use crate::domain::{Actor, Timestamp, Upload, limits, upload_expiry};
use crate::store::{IndexError, RunningHash, StoreHealth, UploadProgress, WriteError};
use futures_util::FutureExt;
use serde_json::json;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl App {
    /// Makes an upload that is whole part of its video, behind the uploader's back. What is tried in vain for want of room
    /// or of a store that takes it is tried again by [`App::tend_uploads`].
    pub(super) fn take_in_behind(self: &Arc<Self>, upload: Arc<Upload>, hash: Option<RunningHash>) {
        let app = Arc::clone(self);
        tokio::spawn(async move {
            let id = upload.id;
            // Its runtime panics where the system gives no thread. An upload that stayed behind would be taken in no more.
            let Ok(taken_in) = AssertUnwindSafe(app.take_in(&upload, hash)).catch_unwind().await else {
                tracing::error!(upload = %id, "taking an upload in panicked; it is tried again in a minute");
                return app.put_off(&upload).await;
            };
            let refusal = match taken_in {
                Ok(()) | Err(IngestError::VideoGone | IngestError::UploadGone) => None,
                Err(error) if may_pass(&error) => {
                    tracing::warn!(upload = %id, video = %upload.video, %error, "an upload that is whole was put off; it is tried again in a minute");
                    return app.put_off(&upload).await;
                }
                Err(error) => Some(error.to_string()),
            };
            if let Err(error) = app.settle(&upload, refusal).await {
                tracing::warn!(upload = %id, %error, "how an upload ended was not written down; it is looked at again in a minute");
                return app.put_off(&upload).await;
            }
            app.uploads.directory.remove(id).await;
            app.uploads.lines.forget(id);
        });
    }

    async fn take_in(self: &Arc<Self>, upload: &Upload, hash: Option<RunningHash>) -> Result<(), IngestError> {
        let received = self.uploads.directory.received(upload.id, hash).await?;
        match upload.rendition.clone() {
            None => self.ingest(upload.actor.clone().into(), upload.video, received).await.map(drop),
            Some(label) => {
                let of = match upload.of {
                    Some(of) => of,
                    None => self.source_of(upload.video).await?,
                };
                self.add_rendition(upload.actor.clone().into(), upload.video, label, of, received).await.map(drop)
            }
        }
    }

    /// Leaves an upload as it is; or clears it away if it was deleted meanwhile.
    async fn put_off(&self, upload: &Upload) {
        self.uploads.lines.put_off(upload.id);
        if self.store.access().upload(upload.id).is_none() {
            self.uploads.directory.remove(upload.id).await;
            self.uploads.lines.forget(upload.id);
        }
    }

    /// Writes down that an upload has ended, if that is not known from what it became.
    async fn settle(&self, upload: &Upload, refusal: Option<String>) -> Result<(), WriteError> {
        let (id, now) = (upload.id, self.now());
        let settled = self.store.write_urgent(now, move |draft| {
            let Some(mut upload) = draft.find::<Upload>(id.0) else { return Ok(()) };
            if upload.is_open() || refusal.is_some() {
                upload.received_at.get_or_insert(now);
                if let Some(reason) = refusal {
                    let detail = json!({ "videoId": upload.video.to_string(), "reason": reason });
                    draft.audit(event(Actor::Server.into(), &upload, "upload.refuse", detail));
                    upload.refusal = Some(reason);
                }
                draft.put(&upload);
            }
            Ok::<_, WriteError>(())
        });
        settled.await
    }

    /// Takes in what is whole and was not yet, and clears away what has expired: at start, and once a minute. What a clock
    /// that is ahead for a moment says is over stays.
    pub async fn tend_uploads(self: &Arc<Self>) {
        self.tend_uploads_at(Instant::now()).await;
    }

    pub(super) async fn tend_uploads_at(self: &Arc<Self>, instant: Instant) {
        let now = self.now();
        let mut expired = Vec::new();
        let all: Vec<Arc<Upload>> = self.store.access().uploads().cloned().collect();
        let (open, received): (Vec<_>, Vec<_>) = all.into_iter().partition(|upload| upload.is_open());
        for upload in open.into_iter().filter(|upload| !self.uploads.lines.is_busy(upload.id)) {
            match self.progress_of(&upload).await {
                Ok(Some(progress)) if progress.offset == upload.length_bytes => {
                    if self.uploads.lines.begin_taking_in(upload.id) {
                        self.take_in_behind(upload, None);
                    }
                }
                Ok(Some(progress)) if upload_expiry(progress.touched) <= now => expired.push(upload),
                Ok(_) => {}
                Err(error) => tracing::warn!(upload = %upload.id, %error, "an upload's file can't be looked at"),
            }
        }
        let is_past = |upload: &Arc<Upload>| upload.received_at.is_some_and(|at| upload_expiry(at) <= now);
        let past: Vec<Arc<Upload>> = received.into_iter().filter(is_past).collect();
        let over = expired.iter().chain(&past).map(|upload| upload.id.0);
        let over = self.uploads.overdue.confirmed(over, instant, Duration::from_secs(limits::UPLOAD_FORGET_AFTER_S));
        for upload in expired.iter().filter(|upload| over.contains(&upload.id.0)) {
            self.expire(upload, now).await;
        }
        let past: Vec<Arc<Upload>> = past.into_iter().filter(|upload| over.contains(&upload.id.0)).collect();
        for chunk in past.chunks(limits::RECORDS_PER_COMMIT) {
            let chunk = chunk.to_vec();
            let forgotten = self.store.write_urgent(now, move |draft| {
                chunk.iter().for_each(|upload| draft.remove(upload.as_ref()));
                Ok::<_, WriteError>(())
            });
            if let Err(error) = forgotten.await {
                tracing::warn!(%error, "received uploads were not forgotten");
            }
        }
    }

    /// How far an open upload has come that nobody writes to. One that is whole may lie in `media/`, where an attempt to take
    /// it in has left it: no record came to name it there.
    async fn progress_of(&self, upload: &Upload) -> io::Result<Option<UploadProgress>> {
        let is_open = || self.store.access().upload(upload.id).is_some_and(|upload| upload.is_open());
        if self.uploads.lines.is_whole(upload.id) && is_open() {
            // A start could find a record in a journal that is yet to be mended.
            if self.store.health() == StoreHealth::ReadOnly {
                return Ok(None);
            }
            self.uploads.directory.put_back(upload.id, &self.media).await?;
        }
        self.uploads.directory.progress(upload.id, upload.length_bytes).await
    }

    /// Removes an upload that has expired, unless somebody goes on with it at this very moment.
    async fn expire(&self, upload: &Upload, now: Timestamp) {
        let Claim::Given(turn, hash) = self.uploads.lines.claim(upload.id) else { return };
        let progress = self.uploads.directory.progress(upload.id, upload.length_bytes).await;
        if !progress.is_ok_and(|progress| progress.is_some_and(|progress| upload_expiry(progress.touched) <= now)) {
            return turn.rest(hash);
        }
        let id = upload.id;
        let removed = self.store.write_urgent(now, move |draft| {
            if let Some(upload) = draft.find::<Upload>(id.0) {
                draft.remove(&upload);
                let detail = json!({ "videoId": upload.video.to_string(), "reason": "it has expired" });
                draft.audit(event(Actor::Server.into(), &upload, "upload.delete", detail));
            }
            Ok::<_, WriteError>(())
        });
        match removed.await {
            Ok(()) => {
                tracing::info!(upload = %id, "removing an upload that has expired");
                self.uploads.directory.remove(id).await;
                turn.rest(None);
            }
            Err(error) => {
                tracing::warn!(upload = %id, %error, "an upload that has expired was not removed");
                turn.rest(hash);
            }
        }
    }
}

/// Whether what went wrong may go well in a minute.
fn may_pass(error: &IngestError) -> bool {
    match error {
        IngestError::Write(error) => !matches!(error, WriteError::TooLarge | WriteError::Index(IndexError::TooLong(_))),
        IngestError::Media(_) => true,
        _ => false,
    }
}
