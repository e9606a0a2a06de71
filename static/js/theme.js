// Before the first paint: the theme that this browser chose. The server knows it from the cookie;
// this covers pages that were kept.
(() => {
  const found = /(?:^|; )theme=(light|dark)/.exec(document.cookie);
  if (found) document.documentElement.dataset.theme = found[1];
})();
