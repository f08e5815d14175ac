// Waits for a text newer than the newest one on the page, and shows the page again.
(async () => {
  const query = new URLSearchParams(location.search);
  query.set('wait', '25s');
  query.set('after', document.body.dataset.newest);
  for (;;) {
    try {
      const answer = await fetch('/dev/outbox?' + query, { headers: { accept: 'application/json' } });
      const texts = await answer.json();
      const newest = texts.length ? texts[texts.length - 1].id : '';
      if (newest !== document.body.dataset.newest) return location.reload();
    } catch {
      await new Promise((next) => setTimeout(next, 2000)); // the server is being restarted
    }
  }
})();
