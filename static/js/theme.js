// Before the first paint: the theme that this browser chose. The server knows it from the cookie;
// this covers cached pages.
(() => {
  const match = /(?:^|; )theme=(light|dark)/.exec(document.cookie);
  if (match) document.documentElement.dataset.theme = match[1];
})();
