// Sets the theme from its cookie before the first paint. The server does so too, but not on cached pages.
(() => {
  const themeCookie = /(?:^|; )theme=(light|dark)/.exec(document.cookie);
  if (themeCookie) document.documentElement.dataset.theme = themeCookie[1];
  // The server shows times in this time zone, from the next page on.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const secureAttribute = location.protocol === "https:" ? "; Secure" : "";
  if (zone) document.cookie = `timezone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secureAttribute}`;
})();
