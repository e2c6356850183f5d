//! The run that all engines of the output folder share, as the window knows it.

use std::time::Duration;

use super::app::{App, Dirty};
use super::engines::DeviceLine;
use crate::client::overview::{Engine, Joint, Overview, Part, SILENT_AFTER};
use crate::protocol::snapshot::{DeviceState, Snapshot};

impl App {
    /// Takes over what the files of the engines say.
    pub(super) fn hear_engines(&mut self, overview: Overview) {
        let had = self.other_engines().next().is_some();
        self.engines.overview = overview;
        self.engines.received = self.now;
        if had || self.other_engines().next().is_some() {
            self.touch(Dirty::Soon);
        }
    }

    /// The engines beside the window's own one.
    pub(super) fn other_engines(&self) -> impl Iterator<Item = &Engine> {
        let own = self.engines.own.as_ref().map(|(pid, _)| *pid);
        self.engines.overview.held().filter(move |engine| !(engine.is_here() && Some(engine.holder.pid) == own))
    }

    /// The time since the last heartbeat of an engine, if that is too long. Grows while the files cannot be read.
    pub(super) fn silence(&self, engine: &Engine) -> Option<Duration> {
        let unread = self.now.saturating_sub(self.engines.received);
        match engine.silent {
            Some(silent) => Some(silent + unread),
            None => (unread >= SILENT_AFTER).then_some(unread),
        }
    }

    /// The run that all engines of the feature set share; none if there is no other engine.
    pub(super) fn joint(&self) -> Option<Joint> {
        let set = self.engines.own.as_ref().map(|(_, set)| set);
        let others = || self.other_engines().filter(|engine| set.is_none() || engine.set.as_ref() == set);
        others().next()?;
        let own = self.snapshot().map(|snapshot| Part { host: &self.options.host, silent: self.is_stale(), snapshot });
        let others = others().filter_map(|engine| {
            let part = engine.part()?;
            Some(Part { silent: self.silence(engine).is_some(), ..part })
        });
        Some(Joint::of(own.into_iter().chain(others)))
    }

    /// The state of the run: of all engines if there are others, otherwise of the window's own one.
    pub(super) fn run(&self) -> Option<(Snapshot, Option<Joint>)> {
        match self.joint() {
            Some(joint) => Some((joint.snapshot.clone(), Some(joint))),
            None => Some((self.snapshot()?.clone(), None)),
        }
    }

    /// The number of other engines that take part in the run.
    pub(super) fn active_others(&self) -> usize {
        self.other_engines().filter(|engine| engine.is_active()).count()
    }

    /// The lines of the pane of devices. The devices of an engine without a run are left out if there are other engines.
    pub(super) fn device_lines(&self) -> Vec<DeviceLine<'_>> {
        let mut lines = vec![];
        let has_others = self.other_engines().next().is_some();
        if let Some(snapshot) = self.snapshot() {
            lines.extend(has_others.then_some(DeviceLine::Engine(None)));
            let devices = snapshot.devices.iter().enumerate().filter(|_| !has_others || snapshot.is_active());
            lines.extend(devices.map(|(index, device)| DeviceLine::Device(None, index, device)));
        }
        for engine in self.other_engines() {
            lines.push(DeviceLine::Engine(Some(engine)));
            let Some(snapshot) = engine.snapshot.as_ref().filter(|snapshot| snapshot.is_active()) else { continue };
            let devices = snapshot.devices.iter().enumerate();
            lines.extend(devices.map(|(index, device)| DeviceLine::Device(Some(engine), index, device)));
            lines.extend((engine.more_devices > 0).then_some(DeviceLine::More(engine)));
        }
        lines
    }

    /// The lines of devices below another pane: the own devices, and a line for each other engine.
    pub(super) fn strip_lines(&self) -> Vec<DeviceLine<'_>> {
        let is_short =
            |line: &DeviceLine<'_>| matches!(line, DeviceLine::Device(None, ..) | DeviceLine::Engine(Some(_)));
        self.device_lines().into_iter().filter(is_short).collect()
    }

    /// The own device under the cursor.
    pub(super) fn own_device(&self) -> Option<(usize, &DeviceState)> {
        match self.device_lines().get(self.device) {
            Some(DeviceLine::Device(None, index, device)) => Some((*index, *device)),
            _ => None,
        }
    }
}
