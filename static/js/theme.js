// Sets the theme from its cookie before the first paint. The server does so too, but not on cached pages.
(() => {
  const themeCookie = /(?:^|; )theme=(light|dark)/.exec(document.cookie);
  if (themeCookie) document.documentElement.dataset.theme = themeCookie[1];
})();
