//! Progress bars on a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use synctable::sync::{Event, SyncContext};
use tokio::task::JoinHandle;

use crate::output::Output;

/// A bar on standard error; hidden where nobody watches. It disappears when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    listener: Option<JoinHandle<()>>,
}

impl Progress {
    /// A bar that is moved by hand.
    pub(crate) fn new(output: &Output, label: &str, total: Option<u64>) -> Self {
        let bar = if output.shows_progress() {
            let bar = ProgressBar::new_spinner().with_message(label.to_owned());
            style(&bar, "{spinner} {msg} {human_pos}");
            if let Some(total) = total {
                show_total(&bar, total);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        } else {
            ProgressBar::hidden()
        };
        Self {
            bar,
            listener: None,
        }
    }

    /// A bar that follows the pushes and pulls of a device.
    pub(crate) fn of(output: &Output, label: &str, device: &SyncContext) -> Self {
        let mut progress = Self::new(output, label, None);
        if progress.bar.is_hidden() {
            return progress;
        }
        let (bar, mut events) = (progress.bar.clone(), device.events());
        progress.listener = Some(tokio::spawn(async move {
            while let Some(event) = events.next().await {
                let (done, total) = match event {
                    Event::PushProgress { done, total } => (done, Some(total)),
                    Event::PullProgress { fetched, total, .. } => (fetched, total),
                    _ => continue,
                };
                if let Some(total) = total {
                    show_total(&bar, total);
                }
                bar.set_position(done);
            }
        }));
        progress
    }

    pub(crate) fn set(&self, position: u64) {
        self.bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
        self.bar.finish_and_clear();
    }
}

/// Turns a spinner into a bar, once it is known how much there is.
fn show_total(bar: &ProgressBar, total: u64) {
    if bar.length() != Some(total) {
        style(bar, "{msg} {wide_bar} {human_pos}/{human_len}");
        bar.set_length(total);
    }
}

/// Without a valid template the bar keeps its own look.
fn style(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
