//! What a restore says on top of a backup, so that nobody may watch who might not before it.

use super::super::op::{Op, Row};
use super::super::verify::Records;
use super::{BackupReport, KnownState};
use crate::domain::{
    AssetKey, Embed, EndedSession, Kind, Organization, OrganizationId, PrivateKey, PublishableKey, Record, SignIn,
    SigningKey, Timestamp, Upload, Video, Visibility,
};

/// What must be said on top of a backup so that no key, session, visibility or token access is weaker than `known` had it.
/// A video that `known` has forgotten was watched by nobody: it comes back private.
pub(super) fn merged(
    backup: &Records,
    known: Option<&Records>,
    report: &mut BackupReport,
) -> Result<Vec<Op>, serde_json::Error> {
    let mut ops = Vec::new();
    // All asset URLs end, and a secret that was dropped since, because it had leaked, must not come back: the first start
    // makes a new one.
    for key in backup.of::<AssetKey>(Kind::AssetKey) {
        ops.push(Op::Remove { kind: Kind::AssetKey, key: key?.key() });
    }
    // One that was signed out since must not come back either, and signing in again is cheap.
    for sign_in in backup.of::<SignIn>(Kind::SignIn) {
        ops.push(Op::Remove { kind: Kind::SignIn, key: sign_in?.key() });
    }
    // Their files are no part of a backup.
    for upload in backup.of::<Upload>(Kind::Upload) {
        ops.push(Op::Remove { kind: Kind::Upload, key: upload?.key() });
    }
    let Some(known) = known else { return Ok(ops) };
    // An older state, or another one, knows nothing of what was deleted since. Of a damaged one it is not certain.
    let may_have_deleted = known.seq >= backup.seq;
    let is_later = report.known_state == KnownState::Whole && may_have_deleted;
    let is_known = |owner: OrganizationId| known.rows.contains_key(&(Kind::Organization, owner.0));
    let mut deleted = 0;
    for video in backup.of::<Video>(Kind::Video) {
        let mut video = video?;
        let other: Option<Video> = find(known, &video).transpose()?;
        let is_gone = other.is_none() && is_known(video.organization);
        deleted += usize::from(is_gone);
        // It may have been made private before it was deleted, and nobody is left to say.
        let is_private = other.is_some_and(|other| other.visibility == Visibility::Private);
        if video.visibility == Visibility::Public && (is_private || is_gone && may_have_deleted) {
            video.visibility = Visibility::Private;
            ops.push(Op::put(&video)?);
            let count = if is_private { &mut report.kept_private } else { &mut report.back_private };
            *count += 1;
        }
    }
    report.videos_back = is_later.then_some(deleted);
    for embed in backup.of::<Embed>(Kind::Embed).filter(|_| is_later) {
        let embed = embed?;
        // One of a video that is back comes back with it, to be private like it.
        let is_of_video = known.rows.contains_key(&(Kind::Video, embed.video.0));
        if is_of_video && is_known(embed.organization) && !known.rows.contains_key(&(Kind::Embed, embed.key())) {
            ops.push(Op::Remove { kind: Kind::Embed, key: embed.key() });
            report.embeds_kept_deleted += 1;
        }
    }
    for organization in backup.of::<Organization>(Kind::Organization) {
        let mut organization = organization?;
        let other: Option<Organization> = find(known, &organization).transpose()?;
        let Some(other) = other else { continue };
        let (settings, wanted) = (&mut organization.settings, &other.settings);
        let is_kept_off = settings.token_access && !wanted.token_access;
        let is_kept_private =
            settings.default_visibility == Visibility::Public && wanted.default_visibility == Visibility::Private;
        if is_kept_off {
            settings.token_access = false;
        }
        if is_kept_private {
            settings.default_visibility = Visibility::Private;
        }
        if is_kept_off || is_kept_private {
            ops.push(Op::put(&organization)?);
        }
        report.token_access_kept_off += usize::from(is_kept_off);
        report.default_kept_private += usize::from(is_kept_private);
    }
    let mut keys = KeyMerge { backup, known, ops: &mut ops, report };
    keys.merge::<SigningKey>(|key| &mut key.revoked_at)?;
    keys.merge::<PublishableKey>(|key| &mut key.revoked_at)?;
    keys.merge::<PrivateKey>(|key| &mut key.revoked_at)?;
    for ended in known.of::<EndedSession>(Kind::EndedSession) {
        ops.push(Op::put(&ended?)?);
    }
    Ok(ops)
}

struct KeyMerge<'a> {
    backup: &'a Records,
    known: &'a Records,
    ops: &'a mut Vec<Op>,
    report: &'a mut BackupReport,
}

impl KeyMerge<'_> {
    fn merge<R: Record>(&mut self, revoked_at: fn(&mut R) -> &mut Option<Timestamp>) -> Result<(), serde_json::Error> {
        for key in self.known.of::<R>(R::KIND) {
            let mut key = key?;
            let belongs = self.backup.rows.contains_key(&(Kind::Organization, key.owner().0));
            match find(self.backup, &key).transpose()? {
                Some(mut old) => {
                    let (was, is) = (revoked_at(&mut old).is_some(), *revoked_at(&mut key));
                    if !was && is.is_some() {
                        *revoked_at(&mut old) = is;
                        self.ops.push(Op::put(&old)?);
                        self.report.revocations_kept += 1;
                    }
                }
                None if belongs => {
                    self.ops.push(Op::put(&key)?);
                    self.report.keys_kept += 1;
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// The record in `records` that has the same key as `like`.
fn find<R: Record>(records: &Records, like: &R) -> Option<Result<R, serde_json::Error>> {
    records.rows.get(&(R::KIND, like.key())).map(Row::read)
}
