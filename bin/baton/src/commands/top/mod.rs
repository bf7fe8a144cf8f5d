use crate::{
    output::{Outcome, Output},
    rpc::{self, Api, Endpoint, Subscription},
};
use baton_types::api::{BlockEvent, ClusterView, SecondView, Topic};
use board::Board;
use eyre::{WrapErr as _, bail};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};
use std::{
    io::{IsTerminal as _, stdout},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

mod board;
mod draw;

#[cfg(test)]
mod tests;

/// Watch a cluster in the terminal: who commits, who is drawn, who votes, how fast it finalizes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
}

const EXAMPLES: &str = "\
q, Esc or Ctrl-C ends it. With --json it prints what the node sees of the cluster, four times a second.

Examples:
  baton top
  baton top --url http://127.0.0.1:8546
  baton top --json | head -1";

/// How often keys are looked for, and the board is drawn.
const KEYS: Duration = Duration::from_millis(100);
/// Between the connection and the board; the connection waits when it is full.
const NEWS_MAX: usize = 64;
/// How long to wait for a node that is away.
const RECONNECT: Duration = Duration::from_millis(500);

pub async fn run(args: Args, output: Output) -> eyre::Result<Outcome> {
    let url = args.endpoint.connect()?.url().to_owned();
    if output.json {
        return lines(&url, output).await;
    }
    if !stdout().is_terminal() {
        bail!("baton top draws on a terminal, and standard output is none; --json prints lines");
    }
    // A node that was never there is a mistake in the address; one that goes away later is news.
    let feeds = Feeds::open(&url).await?;
    let mut terminal = ratatui::try_init().wrap_err("cannot set up the terminal")?;
    let result = watch(&mut terminal, &url, feeds).await;
    ratatui::restore();
    result.map(|()| Outcome::Done)
}

async fn lines(url: &str, output: Output) -> eyre::Result<Outcome> {
    let mut cluster = Subscription::open(url, &Topic::Cluster).await?;
    while let Some(event) = cluster.next().await? {
        output.object(&event.parse::<ClusterView>()?);
    }
    Ok(Outcome::Failed)
}

struct Feeds {
    cluster: Subscription,
    blocks: Subscription,
    /// Until it is told.
    minute: Option<Vec<SecondView>>,
}

/// What the drawing loop is told.
enum News {
    Cluster(Box<ClusterView>),
    Block(Box<BlockEvent>),
    Minute(Vec<SecondView>),
    Lost(String),
}

impl Feeds {
    async fn open(url: &str) -> eyre::Result<Self> {
        let cluster = Subscription::open(url, &Topic::Cluster).await?;
        let blocks = Subscription::open(url, &Topic::Blocks { ids: false }).await?;
        let minute = Api::new(url)?.call("baton_lastMinute", rpc::NONE).await?;
        Ok(Self { cluster, blocks, minute: Some(minute) })
    }

    /// None for what is no news: that a slow reader was spared some blocks.
    async fn next(&mut self) -> eyre::Result<Option<News>> {
        if let Some(minute) = self.minute.take() {
            return Ok(Some(News::Minute(minute)));
        }
        let closed = || eyre::eyre!("the node closed the connection");
        tokio::select! {
            event = self.cluster.next() => {
                Ok(Some(News::Cluster(Box::new(event?.ok_or_else(closed)?.parse()?))))
            }
            event = self.blocks.next() => {
                let event = event?.ok_or_else(closed)?;
                Ok(event.parse().ok().map(|block| News::Block(Box::new(block))))
            }
        }
    }
}

/// Tells what the node says, for ever; while it is away, tries again. Ends when nobody listens.
async fn feed(url: String, first: Feeds, sender: mpsc::Sender<News>) {
    let mut feeds = Some(first);
    loop {
        let told = match &mut feeds {
            Some(feeds) => feeds.next().await,
            None => {
                sleep(RECONNECT).await;
                Feeds::open(&url).await.map(|opened| {
                    feeds = Some(opened);
                    None
                })
            }
        };
        let news = told.unwrap_or_else(|error| {
            feeds = None;
            Some(News::Lost(format!("{error:#}")))
        });
        if let Some(news) = news
            && sender.send(news).await.is_err()
        {
            return;
        }
    }
}

async fn watch(terminal: &mut DefaultTerminal, url: &str, feeds: Feeds) -> eyre::Result<()> {
    let mut board = Board::new(url);
    let (sender, mut news) = mpsc::channel(NEWS_MAX);
    let feeding = tokio::spawn(feed(url.to_owned(), feeds, sender));
    let mut keys = interval(KEYS);
    keys.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = keys.tick() => {
                if asked_to_end()? {
                    feeding.abort();
                    return Ok(());
                }
                terminal.draw(|frame| draw::draw(frame, &board)).wrap_err("cannot draw")?;
            }
            Some(told) = news.recv() => match told {
                News::Cluster(view) => board.cluster(*view),
                News::Block(event) => board.block(&event),
                News::Minute(seconds) => board.last_minute(&seconds),
                News::Lost(reason) => board.lost = Some(reason),
            }
        }
    }
}

/// Looks at the keys that were pressed.
fn asked_to_end() -> eyre::Result<bool> {
    while event::poll(Duration::ZERO).wrap_err("cannot read keys")? {
        let Event::Key(key) = event::read().wrap_err("cannot read keys")? else { continue };
        let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        let end = interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
        if end && key.kind != KeyEventKind::Release {
            return Ok(true);
        }
    }
    Ok(false)
}
