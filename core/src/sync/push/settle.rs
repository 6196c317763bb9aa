//! What an answer of the server does to the store: one commit for a group of answers.

use crate::error::Error;
use crate::name::Version;
use crate::record::Record;
use crate::schema::Declaration;
use crate::store::{Durability, Write, WriteBatch};
use crate::sync::decide::conflict::{ConflictDecision, ConflictPolicy};
use crate::sync::decide::decision::{decide, is_newer, send_again};
use crate::sync::decide::merge::join;
use crate::sync::event::{Event, Origin};
use crate::sync::inner::Inner;
use crate::sync::push::answer::{Answer, Answered, Settled};
use crate::sync::push::meaning::Meaning;
use crate::sync::push::patience::RetryPolicy;
use crate::sync::push::policy::{Attempt, Evidence, Facts, Verdict, judge};
use crate::sync::queue::operation::{MOVED, Operation, OperationKind, OperationState};
use crate::sync::queue::slot::Slot;
use crate::sync::system::{FAILURES, FailureRow};
use crate::transport::{Rejection, TransportErrorKind};

impl Inner {
    /// Stores a group of answers about different records in one commit. Says how each operation is settled, and whether it stays in the queue.
    pub(crate) async fn settle(&self, answers: &[Answered]) -> Result<Vec<(Settled, bool)>, Error> {
        let asks = matches!(self.settings.conflicts, ConflictPolicy::Custom(_));
        // Eventual: an answer that a power cut takes away is asked for again before the operation is repeated.
        let settled = self.each_slot(
            answers,
            Durability::Eventual,
            Origin::Push,
            |answered, slot, batch| {
                let table = self.tables.get(&answered.table);
                if !answered.may_be_repeated() {
                    slot.thaw(answered.seq);
                }
                let met = met_since(slot, answered);
                let kept = slot.kept_apart(answered.seq);
                let settled = settle_one(slot, batch, answered, &table, asks)?;
                show_newer(slot, answered.seq, met);
                if let Some(kept) = kept {
                    slot.put_back(answered.seq, kept);
                }
                Ok((settled, slot.find(answered.seq).is_some()))
            },
        );
        let settled = settled.await?;
        for (answered, (settled, _)) in answers.iter().zip(&settled) {
            let (seq, table, id) = (answered.seq, answered.table.clone(), answered.id.clone());
            let event = match settled {
                // About the others the application is asked first.
                Settled::Conflict if !asks => Event::ConflictParked { seq, table, id },
                Settled::Rejected => Event::OperationRejected { seq, table, id },
                Settled::Aside => Event::OperationAside { seq, table, id },
                Settled::Conflict | Settled::Done | Settled::Again | Settled::Open => continue,
            };
            self.listeners.emit(event);
        }
        Ok(settled)
    }
}

/// The row that a pull of another context has met since the server answered.
fn met_since(slot: &mut Slot, answered: &Answered) -> Option<Record> {
    let operation = slot.find(answered.seq)?;
    let met = operation.shadow.as_ref()?;
    let shown = match &answered.answer {
        // Where the answer shows nothing, the change was made on the base.
        Answer::Applied(row) => row.as_ref().or(operation.base.as_ref()),
        Answer::AppliedEarlier { now: row, .. }
        | Answer::Removed(row)
        | Answer::Conflict { server: row, .. } => row.as_ref(),
        _ => None,
    };
    is_newer(met, shown).then(|| met.clone())
}

/// Once the operation has left the queue nothing else would bring such a row again: the position of that pull is behind it.
fn show_newer(slot: &mut Slot, seq: u64, met: Option<Record>) {
    let Some(met) = met.filter(|_| slot.find(seq).is_none()) else {
        return;
    };
    match slot.operations.first_mut() {
        Some(next) => next.shadow = Some(met),
        None => slot.record = Record::live(Some(&met)),
    }
}

fn settle_one(
    slot: &mut Slot,
    batch: &mut WriteBatch,
    answered: &Answered,
    table: &Declaration,
    asks: bool,
) -> Result<Settled, Error> {
    let (seq, time) = (answered.seq, slot.now);
    let newer = slot.operations.last().is_some_and(|last| last.seq != seq);
    let Some(operation) = slot.find(seq) else {
        // Cancelled while it was at the server. If it took effect and nothing newer waits, show that.
        if slot.operations.is_empty() {
            match &answered.answer {
                Answer::Applied(Some(record)) => slot.record = Record::live(Some(record)),
                Answer::AppliedEarlier { now, .. } => slot.record = Record::live(now.as_ref()),
                _ => {}
            }
        }
        return Ok(Settled::Done);
    };
    match &answered.answer {
        Answer::Unknown => Ok(Settled::Open),
        Answer::NotSent => {
            operation.attempts = operation.attempts.saturating_sub(1);
            if !answered.unsure {
                slot.reopen(seq);
            }
            Ok(Settled::Open)
        }
        Answer::Aside { failure, sent } => {
            operation.aside = Some(failure.noted(operation.aside.as_ref(), time));
            if !sent {
                slot.reopen(seq);
            }
            Ok(Settled::Aside)
        }
        Answer::Applied(record) => {
            applied(slot, seq, table, record.as_ref());
            Ok(Settled::Done)
        }
        Answer::AppliedEarlier { content, now } => Ok(applied_earlier(
            slot,
            seq,
            table,
            content.as_ref(),
            now.as_ref(),
        )),
        Answer::Rebase(row) => {
            send_again(slot, seq, row.as_ref());
            Ok(Settled::Again)
        }
        Answer::Removed(row) => {
            let edited = newer || !operation.sent.is_empty();
            if edited {
                slot.condense(seq);
                let deleted = Rejection::new(None, "deleted at the server");
                let park = ConflictDecision::Park;
                return decide(slot, batch, seq, row.as_ref(), &park, &deleted, asks);
            }
            slot.operations.retain(|operation| operation.seq != seq);
            slot.record = None;
            Ok(Settled::Done)
        }
        Answer::OtherId(record, rejection) => {
            operation.other_id = Some(record.id().clone());
            slot.condense(seq);
            let Some(operation) = slot.find(seq) else {
                return Ok(Settled::Done);
            };
            reject(operation, batch, rejection, Some(record))
        }
        Answer::Rejected(rejection) => {
            operation.unsure = answered.unsure;
            if newer {
                // It was edited meanwhile: what was refused is not what would be sent now.
                if slot.condense(seq)
                    && let Some(operation) = slot.find(seq)
                {
                    operation.state = OperationState::Pending;
                }
                return Ok(Settled::Again);
            }
            reject(operation, batch, rejection, None)
        }
        Answer::Conflict {
            server,
            decision,
            refusal,
            unsure,
        } => {
            operation.unsure = *unsure;
            if !slot.condense(seq) {
                // Inserted, met a stranger at the server, and deleted meanwhile: the stranger is shown.
                slot.record = Record::live(server.as_ref());
                return Ok(Settled::Done);
            }
            if newer && *decision != ConflictDecision::Park {
                // The decision was made on content that has changed since. Sent again on the old version, the
                // operation meets the same conflict, and the decision is made anew.
                if let Some(operation) = slot.find(seq) {
                    operation.state = OperationState::Pending;
                }
                return Ok(Settled::Again);
            }
            decide(slot, batch, seq, server.as_ref(), decision, refusal, asks)
        }
    }
}

/// An earlier attempt took effect with `content`, and `now` is what the server holds. What was edited here since goes on from there:
/// it is joined with what others changed, so that nothing of theirs is put back.
fn applied_earlier(
    slot: &mut Slot,
    seq: u64,
    table: &Declaration,
    content: Option<&Record>,
    now: Option<&Record>,
) -> Settled {
    let Some(place) = slot
        .operations
        .iter()
        .position(|operation| operation.seq == seq)
    else {
        return Settled::Done;
    };
    if let Some(next) = slot.operations.get(place + 1) {
        // What belongs to units follows apart. Here all of it is one edit of what is in, and goes with the first of them.
        let next = next.seq;
        slot.condense(next);
    }
    if slot
        .operations
        .get(place)
        .is_some_and(|done| done.kind == OperationKind::Delete)
    {
        slot.operations.remove(place);
        match slot.operations.get_mut(place) {
            // It meets what others did since; should it be cancelled, that is restored.
            Some(next) => next.shadow = now.cloned().or_else(|| Some(Record::tombstone(&slot.id))),
            None => slot.record = Record::live(now),
        }
        return Settled::Done;
    }
    let defaults = table.schema.defaults();
    let meaning = Meaning(&defaults);
    let row = Record::live(now);
    let follows = slot.operations.len() > place + 1;
    let current = slot.record.clone();
    let done = slot.operations.get(place).cloned();
    let sent_last = done
        .as_ref()
        .and_then(|done| done.item.clone())
        .or_else(|| current.clone());
    // An earlier content of the same operation may be what is in.
    let outdated = !follows
        && matches!((content, &sent_last), (Some(content), Some(last)) if !content.same_members(last))
        && done.as_ref().is_some_and(|done| !done.sent.is_empty());
    if follows {
        slot.operations.remove(place);
    } else if !outdated {
        slot.operations.remove(place);
        slot.record = row;
        return Settled::Done;
    }
    let Some(next) = slot.operations.get_mut(place) else {
        return Settled::Done;
    };
    next.changed();
    next.state = OperationState::Pending;
    (next.item, next.unsure) = (None, false);
    next.sent.clear();
    next.shadow = Some(now.cloned().unwrap_or_else(|| Record::tombstone(&slot.id)));
    if next.kind == OperationKind::Insert {
        next.kind = OperationKind::Replace;
    }
    let Some(content) = content else {
        next.base = row;
        return Settled::Done;
    };
    // Where both sides cannot be joined here, the next attempt meets the conflict, and it is decided as all others.
    let moved = |base: Record| {
        let mut system = row
            .as_ref()
            .map(|row| row.system().clone())
            .unwrap_or_default();
        system.version = Some(Version::new(MOVED));
        Some(base.with_system(system))
    };
    let Some(row) = &row else {
        if next.kind == OperationKind::Delete {
            slot.operations.remove(place);
        } else {
            next.base = moved(content.clone());
        }
        return Settled::Done;
    };
    let (Some(local), OperationKind::Replace) = (&current, next.kind) else {
        let (base, _) = meaning.aligned(content, content, row);
        next.base = if base.same_members(row) {
            Some(row.clone())
        } else {
            moved(base)
        };
        return Settled::Done;
    };
    let (base, local) = meaning.aligned(content, local, row);
    let merged = join(
        &table.device.merge,
        &defaults,
        false,
        Some(&base),
        &local,
        row,
    );
    if !merged.clashes.is_empty() {
        next.base = moved(base);
        slot.record = Some(local.with_system(row.system().clone()));
    } else if merged.record.same_members(row) {
        slot.operations.remove(place);
        slot.record = Some(row.clone());
    } else {
        next.base = Some(row.clone());
        next.shadow = None;
        slot.record = Some(merged.record);
    }
    Settled::Done
}

/// Counts a failure at the end of a push; `kind`: none where it was refused behind another operation. True where it was the last that
/// the operation may have: it waits for the user then.
pub(crate) fn count_one(
    operation: &mut Operation,
    batch: &mut WriteBatch,
    kind: Option<TransportErrorKind>,
    is_counted: bool,
    patience: &RetryPolicy,
) -> Result<bool, Error> {
    let unsure = operation.is_unsure();
    let Some(aside) = &mut operation.aside else {
        return Ok(false);
    };
    let Some(kind) = kind else {
        aside.deferred += 1;
        return Ok(false);
    };
    if !is_counted {
        return Ok(false);
    }
    aside.counted += 1;
    let evidence = Evidence {
        counted: aside.counted,
        token_accepted: true,
        ..Evidence::default()
    };
    let message = format!("tried {} times: {}", aside.counted, aside.message);
    let rejection = Rejection::new(aside.status, message);
    let attempt = Attempt {
        kind: operation.kind,
        tries: u32::MAX,
        unsure,
        generated: operation.generated,
    };
    let rejected = judge(attempt, Facts::Failed(kind), evidence, patience) == Verdict::Reject;
    if rejected {
        operation.unsure = unsure;
        reject(operation, batch, &rejection, None)?;
    }
    Ok(rejected)
}

/// Parks an operation with the words of the server.
fn reject(
    operation: &mut Operation,
    batch: &mut WriteBatch,
    rejection: &Rejection,
    server: Option<&Record>,
) -> Result<Settled, Error> {
    operation.state = OperationState::Rejected;
    operation.aside = None;
    let failure = FailureRow {
        status: rejection.status,
        message: rejection.message.clone(),
        server: server.cloned(),
    };
    batch.push(Write::Put {
        table: FAILURES.clone(),
        record: failure.to_row(operation.seq)?,
    });
    Ok(Settled::Rejected)
}

/// The operation took effect: it leaves the queue, and the server's answer becomes the record unless it was edited meanwhile.
fn applied(slot: &mut Slot, seq: u64, table: &Declaration, record: Option<&Record>) {
    let defaults = table.schema.defaults();
    let Some(place) = slot
        .operations
        .iter()
        .position(|operation| operation.seq == seq)
    else {
        return;
    };
    let done = slot.operations.remove(place);
    let answer = record.filter(|record| !record.is_deleted());
    let Some(next) = slot.operations.get_mut(place) else {
        if done.kind != OperationKind::Delete
            && let Some(answer) = answer
        {
            slot.record = Some(answer.clone());
        }
        return;
    };
    if done.kind == OperationKind::Delete {
        return;
    }
    // What the server now has is what the newer edit is based on.
    let sent = done.item.clone().or_else(|| slot.record.clone());
    next.base = answer.cloned().or(sent);
    let edits = next.kind == OperationKind::Replace;
    if let (Some(local), Some(base)) = (&mut slot.record, &next.base) {
        // What the server added or spelled in its own way is no edit of ours.
        let edited = match (&done.item, answer) {
            (Some(sent), Some(answer)) if edits => {
                Meaning(&defaults).aligned(sent, local, answer).1
            }
            _ => local.clone(),
        };
        *local = edited.with_system(base.system().clone());
    }
}
