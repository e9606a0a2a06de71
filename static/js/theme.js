// Before the first paint: the theme that this browser chose. The server knows it from the cookie;
// this covers cached pages.
(() => {
  const themeCookie = /(?:^|; )theme=(light|dark)/.exec(document.cookie);
  if (themeCookie) document.documentElement.dataset.theme = themeCookie[1];
})();
