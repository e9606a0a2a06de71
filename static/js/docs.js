// Shows the OpenAPI document of this gateway with Swagger UI; nothing is sent elsewhere.
const host = document.getElementById("reference");
window.SwaggerUIBundle({
  url: host.dataset.document,
  domNode: host,
  deepLinking: true,
  validatorUrl: null,
});
