//! The page that stands where a video may not play, or not yet: in words for a viewer, with the code for whoever helps.

use super::problem::Problem;
use super::trace_id;
use super::ui::Ui;
use crate::app::App;
use crate::domain::VideoId;
use actix_web::http::StatusCode;
use askama::Template;

/// Seconds after which what could not play is worth asking for again.
const LOOK_AGAIN_S: u32 = 5;

/// The code of a video that is in preparation. The gate answers with it last, so that whoever reads it may watch.
const NOT_READY: &str = "video_not_ready";

/// Why nothing plays.
pub struct Blocked {
    /// The refusal.
    pub problem: Problem,
    /// How much of a video in preparation is done, from 0 to 1, where that is known.
    progress: Option<f64>,
}

#[derive(Template)]
#[template(path = "blocked.html")]
struct BlockedPage<'a> {
    heading: &'a str,
    help: &'a str,
    code: &'a str,
    trace_id: String,
    lang: &'a str,
    script_url: String,
    style_url: String,
    status: u16,
    /// Whether the page is one that waits, and looks again so many seconds later.
    look_again_s: Option<u32>,
    progress: Option<f64>,
    can_retry: bool,
}

impl BlockedPage<'_> {
    /// Whole percents, rounded down: 100 % is for what is done.
    fn percent(progress: &f64) -> f64 {
        (progress * 100.0).floor()
    }
}

impl From<Problem> for Blocked {
    fn from(problem: Problem) -> Self {
        Self { problem, progress: None }
    }
}

impl Blocked {
    /// A refusal of one video, with what a viewer who may watch it is told of its preparation.
    pub fn of(problem: Problem, app: &App, video: VideoId) -> Self {
        let progress = if problem.code() == NOT_READY { app.packaging_progress(video) } else { None };
        Self { problem, progress }
    }

    /// The page.
    pub fn render(&self, ui: &Ui) -> Result<String, askama::Error> {
        let (code, status) = (self.problem.code(), self.problem.status());
        let (heading, help) = words_for_a_viewer(code);
        let is_waiting = code == NOT_READY;
        BlockedPage {
            heading,
            help,
            code,
            trace_id: trace_id::current(),
            lang: "en",
            script_url: ui.url("refused.js"),
            style_url: ui.url("player.css"),
            status: status.as_u16(),
            look_again_s: is_waiting.then_some(LOOK_AGAIN_S),
            progress: self.progress,
            can_retry: is_waiting || status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error(),
        }
        .render()
    }
}

/// What a viewer reads. General terms: what exactly is wrong with a token is the backend developer's to know.
fn words_for_a_viewer(code: &str) -> (&'static str, &'static str) {
    match code {
        "playback_token_missing" => ("This video is private", "Open it from the site that shared it with you."),
        "playback_token_expired" => {
            ("This link has expired", "Go back to the page you came from and reload it to continue.")
        }
        "playback_token_revoked" | "token_access_disabled" => {
            ("This video is not available here", "Ask whoever shared it with you for a new link.")
        }
        "playback_token_wrong_video" => {
            ("This link is for a different video", "Open the video from the site that shared it with you.")
        }
        "referrer_blocked" | "bundle_blocked" => {
            ("This video can't be shown here", "Its owner allows it on certain sites only.")
        }
        "not_found" => ("Video not found", "It may have been removed, or the link is incomplete."),
        NOT_READY => ("Almost ready", "This video is still being prepared. It will appear here once it is ready."),
        "rate_limit" => ("Too many requests", "Wait a moment, then reload the page."),
        code if code.starts_with("playback_token") => {
            ("This link is not valid", "Open the video from the site that shared it with you.")
        }
        _ => ("This video can't be played right now", "Try again in a moment."),
    }
}
