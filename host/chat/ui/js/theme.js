/**
 * Applies the theme of the person who logged in last, before the first paint. A classic script: modules run later, and
 * the page would flash.
 */
try {
  const theme = localStorage.getItem(`sluice.${localStorage.getItem('sluice.user')}.theme`);
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is refused: the system's theme it is.
}
