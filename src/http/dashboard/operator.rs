//! Whoever is signed in, and what every page of theirs takes.

use super::frame::{Complaint, Frame, Section, Sheet, html};
use crate::app::App;
use crate::domain::Organization;
use crate::http::extract::{Admin, is_from_here, query_text};
use crate::http::form::Form;
use crate::http::problem::Problem;
use crate::http::ui::{Ui, takes_brotli};
use actix_web::dev::Payload;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use std::future::{Ready, ready};
use std::sync::Arc;

/// Proof that a request comes from a browser that is signed in, and, where it changes something, from a page of ours.
pub struct Operator {
    /// What they may do.
    pub admin: Admin,
    /// What they rule.
    pub organization: Arc<Organization>,
    /// The server.
    pub app: web::Data<App>,
    ui: web::Data<Ui>,
    /// The last thing they did, as the address says it.
    said: Option<String>,
    is_answer: bool,
    compresses: bool,
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl Operator {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let missing = || Problem::internal(&"a part of the server is not assembled");
        let app = request.app_data::<web::Data<App>>().cloned().ok_or_else(missing)?;
        let ui = request.app_data::<web::Data<Ui>>().cloned().ok_or_else(missing)?;
        let admin = Admin::signed_in(request).ok_or_else(Problem::private_key_invalid)?;
        if !request.method().is_safe() && !is_from_here(request) {
            return Err(Problem::cross_site());
        }
        let admin = admin.counted(request)?;
        let organization = app.organization(admin.organization).ok_or_else(Problem::private_key_invalid)?;
        let said = query_text(request, "said")?;
        let is_answer = request.method() != Method::GET;
        // What follows a form may hold a secret that is shown once.
        let compresses = !is_answer && takes_brotli(request);
        Ok(Self { admin, organization, app, ui, said, is_answer, compresses })
    }

    /// What stands around a page.
    pub fn frame(&self, title: &str, section: Section) -> Frame {
        Frame {
            title: title.to_owned(),
            section,
            organization: self.organization.name.clone(),
            said: self.said.as_deref().and_then(super::words::of_deed),
            complaint: None,
            is_answer: self.is_answer,
            sheet: Sheet::of(&self.ui),
        }
    }

    /// The same for a form that was not taken: what is wrong, and what was typed.
    pub fn frame_again(&self, title: &str, section: Section, refused: Option<Refused>) -> Frame {
        let complaint = refused.map(|refused| Complaint::new(&refused.problem, refused.typed));
        let frame = self.frame(title, section);
        Frame { said: frame.said.filter(|_| complaint.is_none()), complaint, ..frame }
    }

    /// A page, with the status of what is wrong on it.
    pub fn page(&self, frame_status: StatusCode, page: &impl askama::Template) -> Result<HttpResponse, Problem> {
        html(frame_status, page, self.compresses)
    }
}

/// The fields of a form, to be read and to be shown again.
pub struct Posted {
    /// To be read.
    pub form: Form,
    typed: Vec<(String, String)>,
}

impl Posted {
    /// Reads a form.
    pub async fn read(payload: web::Payload) -> Result<Self, Problem> {
        Ok(Self::of(Form::read_fields(payload).await?))
    }

    /// The fields of a form, however they came.
    pub fn of(typed: Vec<(String, String)>) -> Self {
        Self { form: Form::of_fields(typed.clone()), typed }
    }

    /// What was typed in a field.
    pub fn typed(&self, name: &str) -> &str {
        self.typed.iter().rev().find(|(field, _)| field == name).map_or("", |(_, value)| value)
    }

    /// Splits into what is to be read, and what makes a [`Refused`] of a problem.
    pub fn split(self) -> (Form, impl FnOnce(Problem) -> Refused) {
        let typed = self.typed;
        (self.form, move |problem| Refused { problem, typed })
    }

    /// The form was not taken.
    pub fn refused(self, problem: Problem) -> Refused {
        Refused { problem, typed: self.typed }
    }
}

/// A form that was not taken.
pub struct Refused {
    /// Why.
    pub problem: Problem,
    /// What was typed.
    pub typed: Vec<(String, String)>,
}

impl Refused {
    /// Why, where there was nothing to type.
    pub fn of(problem: Problem) -> Self {
        Self { problem, typed: Vec::new() }
    }
}

/// The status of a page: that of what is wrong on it.
pub fn status_of(refused: Option<&Refused>) -> StatusCode {
    refused.map_or(StatusCode::OK, |refused| refused.problem.status())
}

/// Sends the browser to another page, so that loading it again repeats nothing.
pub fn see_other(to: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((header::LOCATION, to)).finish()
}

/// The same, with word of what was done.
pub fn done(to: &str, deed: &str) -> HttpResponse {
    see_other(&format!("{to}?said={deed}"))
}

/// Holds the word that someone types before something that can't be taken back.
pub fn check_typed(posted: &Posted, word: &str) -> Result<(), Problem> {
    if posted.typed("confirm").trim().eq_ignore_ascii_case(word) {
        return Ok(());
    }
    Err(Problem::invalid_field("confirm", &format!("must be the word {word}; nothing was changed")))
}
