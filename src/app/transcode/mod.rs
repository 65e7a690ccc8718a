//! Making more of what is uploaded, with ffmpeg, one thing at a time: the qualities of the ladder, a poster, a
//! storyboard. The queue is what the records lack, so that nothing is forgotten over a restart and nothing has to be
//! taken out of it: what is cancelled, deleted or replaced is no longer lacking.

mod commands;
mod make;
mod run;

use self::make::Trouble;
use super::{App, IngestError, subject};
use crate::domain::{Actor, AuditEvent, Kind, LeftOut, Making, Mandate, MediaFileId, Video, VideoId, limits};
use crate::store::{IndexError, MediaError, Unmade, WriteError};
use serde_json::json;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long nothing else is tried after something that did not begin: a full disk is full for the next video, too.
const PAUSE: Duration = Duration::from_secs(1);

/// What is being made.
#[derive(Default)]
pub struct Transcoding {
    current: Mutex<Option<Arc<Current>>>,
    stopped: AtomicBool,
}

struct Current {
    video: VideoId,
    unmade: Unmade,
    /// How much of it is done.
    thousandths: AtomicU16,
}

/// How far a video is.
#[derive(Debug, Default, PartialEq)]
pub struct TranscodingStatus {
    /// What is being made of it now.
    pub name: Option<String>,
    /// How much of that is done, from 0 to 1.
    pub progress: f64,
    /// How many more things are to be made of it.
    pub waiting: usize,
    /// Whether someone cancelled it.
    pub cancelled: bool,
    /// What failed or was deleted.
    pub left_out: Vec<LeftOut>,
}

/// Asks whether to go on, and tells how far it is.
struct Stop<'a> {
    app: &'a App,
    current: &'a Current,
}

impl Stop<'_> {
    fn go_on(&self) -> bool {
        let is_stopped = self.app.transcoding.stopped.load(Ordering::Relaxed);
        !is_stopped && self.app.store.access().unmade(self.current.video) == Some(&self.current.unmade)
    }

    fn tell(&self, thousandths: u16) {
        self.current.thousandths.store(thousandths, Ordering::Relaxed);
    }
}

impl App {
    /// Makes what records lack, for as long as the server runs. Does nothing where `[transcode]` is off.
    pub async fn transcode(self: Arc<Self>) {
        if !self.config.transcode.enabled {
            return;
        }
        let mut changes = self.store.changes();
        let retry = Duration::from_secs(limits::TRANSCODING_RETRY_S);
        // Videos that were put off, and until when: they step back, and others go on.
        let mut put_off: HashMap<VideoId, Instant> = HashMap::new();
        loop {
            changes.borrow_and_update();
            let now = Instant::now();
            put_off.retain(|_, until| *until > now);
            let next = {
                let access = self.store.access();
                let next = access.next_unmade(|video| !put_off.contains_key(&video));
                next.map(|(video, unmade)| (video, unmade.clone()))
            };
            let Some((video, unmade)) = next else {
                let earliest = put_off.values().min().copied();
                tokio::select! {
                    changed = changes.changed() => if changed.is_err() { return },
                    () = sleep_until(earliest.unwrap_or(now)), if earliest.is_some() => {}
                }
                continue;
            };
            let name = unmade.making.name().to_owned();
            let current = Arc::new(Current { video, unmade, thousandths: AtomicU16::new(0) });
            self.set_current(Some(Arc::clone(&current)));
            let made = self.make(current).await;
            self.set_current(None);
            if self.transcoding.stopped.load(Ordering::Relaxed) {
                return;
            }
            match made {
                Ok(()) => tracing::info!(%video, made = name, "made with ffmpeg"),
                // Another round looks at what is wanted now. Where nothing changed, that would be the same again.
                Err(Trouble::Stopped) => {
                    tracing::info!(%video, name, "making it was cancelled");
                    if timeout(PAUSE, changes.changed()).await.is_err() {
                        put_off.insert(video, Instant::now() + retry);
                    }
                }
                Err(Trouble::Failed(reason)) => tracing::warn!(%video, name, reason, "ffmpeg could not make it"),
                Err(Trouble::Later(error)) => {
                    tracing::warn!(%video, name, %error, "making it with ffmpeg was put off; it is tried again in a minute");
                    put_off.insert(video, Instant::now() + retry);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Ends what is being made, for a stop; it begins anew at the next start.
    pub fn stop_transcoding(&self) {
        self.transcoding.stopped.store(true, Ordering::Relaxed);
    }

    /// What is being made of a video and what is not; `None` where there is nothing to tell.
    pub fn transcoding_status(&self, video: &Video) -> Option<TranscodingStatus> {
        let note = video.transcoding_note();
        let cancelled = note.is_some_and(|note| note.cancelled);
        let left_out = note.map(|note| note.left_out.clone()).unwrap_or_default();
        let waiting = if self.config.transcode.enabled { video.to_make().len() } else { 0 };
        if waiting == 0 && !cancelled && left_out.is_empty() {
            return None;
        }
        let current = self.transcoding.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(match current.filter(|current| current.video == video.id && waiting > 0) {
            None => TranscodingStatus { waiting, cancelled, left_out, ..TranscodingStatus::default() },
            Some(current) => TranscodingStatus {
                name: Some(current.unmade.making.name().to_owned()),
                progress: f64::from(current.thousandths.load(Ordering::Relaxed)) / 1000.0,
                waiting: waiting - 1,
                cancelled,
                left_out,
            },
        })
    }

    /// Makes nothing more of a video's present source, or everything after all.
    pub async fn set_transcoding(&self, mandate: Mandate, id: VideoId, cancelled: bool) -> Result<Video, IngestError> {
        let action = if cancelled { "video.transcoding_cancel" } else { "video.transcoding_begin" };
        let now = self.now();
        let changed = self.store.write(now, move |draft| {
            let mut video: Video = draft.find(id.0).ok_or(IngestError::VideoGone)?;
            let note = video.transcoding_note_mut().ok_or(IngestError::SourceChanged)?;
            note.cancelled = cancelled;
            if !cancelled {
                note.left_out.clear();
            }
            draft.put(&video);
            draft.audit(AuditEvent {
                mandate,
                organization: video.organization,
                action,
                subject: subject(Kind::Video, id.0),
                detail: json!({}),
            });
            Ok::<_, IngestError>(video)
        });
        changed.await
    }

    fn set_current(&self, current: Option<Arc<Current>>) {
        *self.transcoding.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }

    async fn make(self: &Arc<Self>, current: Arc<Current>) -> Result<(), Trouble> {
        let id = current.video;
        let found = self.store.find::<Video>(id.0).await.map_err(io::Error::other)?;
        let Some(video) = found else { return Err(Trouble::Stopped) };
        let (app, making, source) = (Arc::clone(self), current.unmade.making.clone(), current.unmade.source);
        let work = {
            let making = making.clone();
            move || app.make_now(&video, &making, &Stop { app: &app, current: &current })
        };
        let made = tokio::task::spawn_blocking(work).await;
        let made = made.unwrap_or_else(|_| Err(Trouble::Failed("the server stumbled over what ffmpeg wrote".into())));
        let kept = match made {
            Ok(made) => self.keep_made(id, source, made).await.map(drop).map_err(Trouble::from),
            Err(trouble) => Err(trouble),
        };
        if let Err(Trouble::Failed(reason)) = &kept {
            let noted = match self.note_failure(id, source, &making, Some(reason.clone())).await {
                // Not even the sentence has room. Then nothing more is made of this video.
                Err(WriteError::Index(IndexError::TooLong(_))) => self.note_failure(id, source, &making, None).await,
                noted => noted,
            };
            noted.map_err(|error| MediaError::Io(io::Error::other(error)))?;
        }
        kept
    }

    /// Writes down that something failed, so that it is told and not tried for ever; without a reason, that all of it is
    /// cancelled, which takes less room.
    async fn note_failure(
        &self,
        id: VideoId,
        source: MediaFileId,
        making: &Making,
        reason: Option<String>,
    ) -> Result<(), WriteError> {
        let (now, name) = (self.now(), making.name().to_owned());
        let noted = self.store.write(now, move |draft| {
            let video =
                draft.find::<Video>(id.0).filter(|video| video.source.as_ref().map(|it| it.file) == Some(source));
            let Some(mut video) = video else { return Ok(()) };
            match &reason {
                Some(reason) => video.leave_out(&name, reason.clone()),
                None => video.cancel_transcoding(),
            }
            draft.put(&video);
            draft.audit(AuditEvent {
                mandate: Actor::Server.into(),
                organization: video.organization,
                action: "video.transcoding_failed",
                subject: subject(Kind::Video, id.0),
                detail: json!({ "name": name, "reason": reason }),
            });
            Ok::<_, WriteError>(())
        });
        noted.await
    }
}
